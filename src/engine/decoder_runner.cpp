#include "engine/decoder_runner.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

// Logits of a whole prompt are computed in parts of this many bytes: 85 rows of SmolLM2, 16 of Gemma 3.
constexpr int64_t kMaxLogitsBytes = 16 << 20;

std::vector<int64_t> block_bytes(const Decoder& decoder) {
  std::vector<int64_t> bytes;
  for (const CacheSpec& spec : decoder.cache_specs()) bytes.push_back(spec.block_bytes);
  return bytes;
}

std::vector<int32_t> blocks_per_group(const CachePlan& cache) {
  std::vector<int32_t> blocks = {cache.num_blocks};
  blocks.insert(blocks.end(), cache.window_blocks.begin(), cache.window_blocks.end());
  return blocks;
}

// Architecture, shape and a hash of the norm weights: small, read at once, and different in any two
// trainings.
std::string model_id(const Decoder& decoder) {
  const DecoderConfig& c = decoder.config();
  uint64_t h = 0xCBF29CE484222325u;
  auto add = [&](const NormWeight& norm) {
    if (!norm) return;
    auto* bytes = reinterpret_cast<const unsigned char*>(norm.weight);
    for (size_t i = 0; i < static_cast<size_t>(c.hidden_size) * sizeof(float); ++i)
      h = (h ^ bytes[i]) * 0x100000001B3u;
  };
  for (const LayerWeights& layer : decoder.weights().layers) add(layer.input_norm);
  add(decoder.weights().final_norm);
  return fmt::format("{}-{}x{}-{}-{:016x}", c.architecture, c.num_layers(), c.hidden_size, c.vocab_size, h);
}

ModelLimits limits_of(const Decoder& decoder) {
  const DecoderConfig& c = decoder.config();
  ModelLimits l;
  l.model_id = model_id(decoder);
  l.vocab_size = c.vocab_size;
  l.hidden_size = c.hidden_size;
  l.num_layers = c.num_layers();
  l.session_len = decoder.session_len();
  l.max_rows = decoder.max_rows();
  l.max_logits_rows =
      static_cast<int32_t>(std::clamp<int64_t>(kMaxLogitsBytes / 4 / c.vocab_size, 1, decoder.max_rows()));
  l.eos_token_ids = c.eos_token_ids;
  // Length-dependent rope scalings are chosen from session_len.
  l.cache_key = fmt::format("/rope{}", decoder.session_len());
  for (const CacheSpec& spec : decoder.cache_specs())
    if (!spec.geometry.empty()) l.cache_key += fmt::format("/{}", kv_type_name(spec.geometry[0].type));
  return l;
}

}  // namespace

DecoderRunner::DecoderRunner(std::shared_ptr<Decoder> decoder, const CachePlan& cache, bool samples)
    : decoder_(std::move(decoder)),
      limits_(limits_of(*decoder_)),
      pool_(block_bytes(*decoder_), blocks_per_group(cache)),
      sequences_(decoder_->cache_specs().size()),
      samples_(samples) {
  CHECK_EQ(cache.window_blocks.size() + 1, decoder_->cache_specs().size());
  for (size_t w = 0; w < cache.window_blocks.size(); ++w)
    limits_.windows.push_back({decoder_->cache_specs()[w + 1].window, cache.window_blocks[w]});
  for (const RopeConfig& rope : decoder_->config().ropes)
    num_axes_ = std::max(num_axes_, static_cast<int32_t>(rope.mrope_section.size()));
}

template <class T>
T* DecoderRunner::room(std::shared_ptr<void>& buffer, int64_t& capacity, int64_t count) {
  if (count > capacity) {
    buffer.reset();
    capacity = 0;
    buffer = decoder_->executor().allocate(count * static_cast<int64_t>(sizeof(T)));
    capacity = count;
  }
  return static_cast<T*>(buffer.get());
}

// In stream order, and one after the other: a later copy may read what an earlier one wrote.
void DecoderRunner::run_block_ops(const StepPlan& plan) {
  if (plan.block_ops.empty()) return;
  for (const BlockOp& op : plan.block_ops) pool_.commit(static_cast<size_t>(op.group), op.to + 1);
  decoder_->executor().host_phase(1, [&](int64_t) {
    for (const BlockOp& op : plan.block_ops)
      pool_.copy_or_clear(static_cast<size_t>(op.group), op.to, op.from);
  });
}

void DecoderRunner::fill_rows(const StepPlan& plan) {
  int64_t hidden_size = limits_.hidden_size, num_blocks = 0;
  num_embeddings_ = 0;
  for (const StepSlice& s : plan.slices) {
    num_blocks += (s.first_index + s.num_rows + kKvBlockTokens - 1) / kKvBlockTokens;
    num_embeddings_ += s.num_embeddings;
  }
  auto* ids = room<int32_t>(ids_, ids_capacity_, plan.num_rows);
  auto* positions = room<int32_t>(positions_, positions_capacity_, int64_t{plan.num_rows} * num_axes_);
  auto* tables =
      room<int32_t>(tables_, tables_capacity_, num_blocks * static_cast<int64_t>(sequences_.size()));
  auto* embeddings = num_embeddings_
                         ? room<float>(embeddings_, embeddings_capacity_, num_embeddings_ * hidden_size)
                         : nullptr;
  for (auto& group : sequences_) group.clear();
  logits_rows_.clear();
  first_logit_.clear();
  int32_t row = 0;
  for (const StepSlice& s : plan.slices) {
    std::copy_n(s.token_ids, s.num_rows, ids + row);
    for (int32_t i = 0; i < s.num_rows; ++i)
      std::fill_n(positions + int64_t{row + i} * num_axes_, num_axes_, s.first_index + i);
    int32_t blocks = (s.first_index + s.num_rows + kKvBlockTokens - 1) / kKvBlockTokens;
    if (s.num_embeddings) {
      std::copy_n(s.embeddings, s.num_embeddings * hidden_size, embeddings);
      embeddings += s.num_embeddings * hidden_size;
    }
    SequenceRows rows;
    rows.row_begin = row;
    rows.num_rows = s.num_rows;
    rows.first_index = s.first_index;
    for (size_t g = 0; g < sequences_.size(); ++g, tables += blocks) {
      std::copy_n(g == 0 ? s.block_table : s.window_tables[g - 1], blocks, tables);
      rows.block_table = tables;
      sequences_[g].push_back(rows);
    }
    bool wants_logits = (s.all_logits && !s.as_hidden) || s.sampler;
    first_logit_.push_back(wants_logits ? static_cast<int64_t>(logits_rows_.size()) : -1);
    if (wants_logits)
      for (int32_t i = s.all_logits ? 0 : s.num_rows - 1; i < s.num_rows; ++i)
        logits_rows_.push_back(row + i);
    row += s.num_rows;
  }
}

void DecoderRunner::execute(const StepPlan& plan, StepResult& result) {
  CHECK(plan.num_rows <= limits_.max_rows, "{} rows", plan.num_rows);
  run_block_ops(plan);
  fill_rows(plan);
  StepInput in;
  in.num_rows = plan.num_rows;
  in.token_ids = static_cast<const int32_t*>(ids_.get());
  if (num_embeddings_)
    in.embeddings = f32_matrix(static_cast<float*>(embeddings_.get()), num_embeddings_, limits_.hidden_size);
  in.positions = static_cast<const int32_t*>(positions_.get());
  in.num_axes = num_axes_;
  in.sequences = sequences_;
  in.pools = pool_.bases();
  in.logits_rows = logits_rows_;
  if (plan.layered) in.layered = {plan.slices[0].num_rows, plan.layered->begin, plan.layered->end};
  auto num_logits = static_cast<int64_t>(logits_rows_.size());
  auto* logits = num_logits && samples_
                     ? room<float>(logits_, logits_capacity_, num_logits * limits_.vocab_size)
                     : nullptr;
  decoder_->forward(in, f32_matrix(logits, num_logits, limits_.vocab_size));
  take_hidden(plan, result);
  take_logits(plan, result, logits);
  decoder_->executor().synchronize();
}

void DecoderRunner::take_hidden(const StepPlan& plan, StepResult& result) {
  int64_t row = 0, width = limits_.hidden_size;
  for (size_t i = 0; i < plan.slices.size(); ++i) {
    const StepSlice& s = plan.slices[i];
    if (s.as_hidden && samples_) {
      auto* out = room<float>(hidden_, hidden_capacity_, s.num_rows * width);
      decoder_->final_hidden(row, f32_matrix(out, s.num_rows, width));
      std::vector<float>& rows = result.slices[i].logits;
      rows.resize(static_cast<size_t>(s.num_rows * width));
      decoder_->executor().host_phase(1,
                                      [&rows, out](int64_t) { std::copy_n(out, rows.size(), rows.data()); });
      decoder_->executor().synchronize();  // the buffer is the next slice's too
    }
    row += s.num_rows;
  }
}

void DecoderRunner::take_logits(const StepPlan& plan, StepResult& result, float* logits) {
  if (logits_rows_.empty() || !samples_) return;
  auto vocab = static_cast<size_t>(limits_.vocab_size);
  for (size_t i = 0; i < plan.slices.size(); ++i)
    if (plan.slices[i].all_logits && !plan.slices[i].as_hidden)
      result.slices[i].logits.resize(vocab * static_cast<size_t>(plan.slices[i].num_rows));
  decoder_->executor().host_phase(static_cast<int64_t>(plan.slices.size()), [&, logits, vocab](int64_t i) {
    const StepSlice& s = plan.slices[static_cast<size_t>(i)];
    int64_t first = first_logit_[static_cast<size_t>(i)];
    if (first < 0) return;
    SliceResult& r = result.slices[static_cast<size_t>(i)];
    float* row = logits + first * static_cast<int64_t>(vocab);
    if (s.all_logits) {
      std::copy_n(row, r.logits.size(), r.logits.data());
      return;
    }
    auto scratch = borrow_scratch();
    r.token = sample_slice(s, {row, vocab}, *scratch);
    return_scratch(std::move(scratch));
  });
}

std::unique_ptr<SampleScratch> DecoderRunner::borrow_scratch() {
  std::lock_guard lock(scratch_mutex_);
  if (scratch_.empty()) return std::make_unique<SampleScratch>();
  auto scratch = std::move(scratch_.back());
  scratch_.pop_back();
  return scratch;
}

void DecoderRunner::return_scratch(std::unique_ptr<SampleScratch> scratch) {
  std::lock_guard lock(scratch_mutex_);
  scratch_.push_back(std::move(scratch));
}

}  // namespace turgo
