#include "models/weight_loader.h"

#include <algorithm>

#include "core/error.h"
#include "models/rounded_table.h"

namespace turgo {
namespace {

using enum WeightRole;

uint64_t key_of(WeightRole role, int layer, bool bias) {
  return (static_cast<uint64_t>(layer + 1) << 8) | (static_cast<uint64_t>(role) << 1) | (bias ? 1 : 0);
}

bool plain_float(DType t) {
  return t == DType::kF32 || t == DType::kF16 || t == DType::kBF16;
}

bool aligned_for(const RawTensor& t) {
  auto size = static_cast<uintptr_t>(dtype_info(t.dtype).block_bytes);
  return reinterpret_cast<uintptr_t>(t.bytes.data()) % size == 0;
}

std::string layer_name(int layer, const char* what) {
  return fmt::format("layers.{}.{}", layer, what);
}

}  // namespace

WeightLoader::WeightLoader(const ModelFile& file, const DecoderConfig& config,
                           const std::vector<TensorSpec>& specs, const LoadOptions& options)
    : config_(config), options_(options) {
  for (const TensorSpec& spec : specs) {
    const RawTensor& t = file.get(spec.name);
    bool vector = spec.shape.rank == 1;
    if (vector ? !plain_float(t.dtype) : !can_pack(t.dtype))
      fail(ErrorCode::kUnsupported, "{}: tensor {} has type {}; expected {}", quote(file.path(), 200),
           quote(spec.name, 100), dtype_info(t.dtype).name,
           vector ? "f32, f16 or bf16 for a norm or bias" : "f32, f16, bf16 or a quantised type");
    tensors_[key_of(spec.role, spec.layer, spec.bias)] = &t;
    total_bytes_ += static_cast<int64_t>(t.bytes.size());
  }
  check_plan();
}

void WeightLoader::check_plan() const {
  const LoadPlan& plan = options_.plan;
  if (plan.world < 1 || plan.rank < 0 || plan.rank >= plan.world)
    fail(ErrorCode::kInvalidArgument, "expected a rank of 0 to {} (world size minus one), got {}",
         plan.world - 1, plan.rank);
  for (size_t i = 0; i < config_.layers.size() && plan.world > 1; ++i) {
    const LayerConfig& l = config_.layers[i];
    const int kv = l.num_kv_heads, world = plan.world;
    const bool heads_fit =
        l.attention == AttentionKind::kNone || kv >= world || (world % kv == 0 && l.num_heads % world == 0);
    if (!heads_fit)
      fail(
          ErrorCode::kInvalidArgument,
          "{} ranks can not share layer {}: expected at least as many kv heads as ranks, or ranks that are a "
          "multiple of the kv heads and divide the heads; it has {} heads and {} kv heads; use a smaller "
          "--tp",
          world, i, l.num_heads, kv);
    if (l.mlp != MlpKind::kNone && width_share(static_cast<int>(i), 0).end == 0)
      fail(ErrorCode::kInvalidArgument,
           "{} ranks can not share layer {}: its MLP is {} wide; use a smaller --tp", world, i,
           l.intermediate_size);
  }
}

// Whole groups of a kv head with its query heads go to a rank, one more to some where they do not divide;
// with fewer kv heads than ranks, several ranks hold a copy of one and share its query heads.
WeightLoader::HeadShare WeightLoader::head_share(int layer) const {
  const LayerConfig& l = config_.layers[static_cast<size_t>(layer)];
  const int rank = options_.plan.rank, world = options_.plan.world;
  const int64_t group = l.num_heads / l.num_kv_heads;
  if (l.num_kv_heads >= world) {
    Range kv = split_range(l.num_kv_heads, world, rank);
    return {kv.begin * group, (kv.end - kv.begin) * group, kv.begin, kv.end - kv.begin};
  }
  const int64_t heads = l.num_heads / world;
  return {rank * heads, heads, rank * heads / group, 1};
}

// Rows of gate and up, columns of down, in whole blocks of down's type.
Range WeightLoader::width_share(int layer, int rank) const {
  const RawTensor* down = tensor(kDown, layer);
  return split_range(config_.layers[static_cast<size_t>(layer)].intermediate_size, options_.plan.world, rank,
                     dtype_info(down->dtype).block_size);
}

DecoderConfig WeightLoader::local_config() const {
  DecoderConfig c = config_;
  for (int i = 0; i < c.num_layers(); ++i) {
    LayerConfig& l = c.layers[static_cast<size_t>(i)];
    if (l.attention != AttentionKind::kNone) {
      HeadShare share = head_share(i);
      l.num_heads = static_cast<int32_t>(share.heads);
      l.num_kv_heads = static_cast<int32_t>(share.kv_heads);
    }
    if (l.mlp != MlpKind::kNone) {
      Range width = width_share(i, options_.plan.rank);
      l.intermediate_size = static_cast<int32_t>(width.end - width.begin);
    }
  }
  return c;
}

const RawTensor* WeightLoader::tensor(WeightRole role, int layer, bool bias) const {
  auto it = tensors_.find(key_of(role, layer, bias));
  return it == tensors_.end() ? nullptr : it->second;
}

// `slice` names rows of the weight; the bias has the same rows.
void WeightLoader::add(LinearPlan& plan, WeightRole role, int layer, RowSource slice) const {
  plan.rows.push_back(slice);
  RowSource bias = slice;
  bias.tensor = tensor(role, layer, true);
  bias.k_begin = 0;
  bias.k = 1;
  plan.bias.push_back(bias);
}

// q rows of this rank's heads, then k and v rows of the kv heads that they use.
WeightLoader::LinearPlan WeightLoader::plan_qkv(int layer) const {
  const LayerConfig& l = config_.layers[static_cast<size_t>(layer)];
  const int rank = options_.plan.rank, world = options_.plan.world;
  const int64_t dim = l.head_dim, group = l.num_heads / l.num_kv_heads;
  const auto [first_head, heads, first_kv, kv_heads] = head_share(layer);
  LinearPlan plan;
  plan.shard = {l.num_kv_heads < world ? Shard::kKvReplicated : Shard::kColumn, rank, world};
  const RawTensor* grouped = tensor(kGroupedQkv, layer);
  if (!grouped) {
    add(plan, kQ, layer, RowSource::rows(*tensor(kQ, layer), first_head * dim, heads * dim));
    for (WeightRole role : {kK, kV})
      add(plan, role, layer, RowSource::rows(*tensor(role, layer), first_kv * dim, kv_heads * dim));
    return plan;
  }
  const int64_t grouped_begin = first_kv * (group + 2) * dim;
  auto part = [&](int64_t rows, int64_t offset, int64_t run) {
    RowSource s = RowSource::rows(*grouped, grouped_begin + offset, rows);
    s.run = run;
    s.stride = (group + 2) * dim;
    return s;
  };
  int64_t run = std::min(heads, group) * dim;  // less than a group where ranks share a kv head
  add(plan, kGroupedQkv, layer, part(heads * dim, first_head % group * dim, run));
  add(plan, kGroupedQkv, layer, part(kv_heads * dim, group * dim, dim));
  add(plan, kGroupedQkv, layer, part(kv_heads * dim, (group + 1) * dim, dim));
  return plan;
}

WeightLoader::LinearPlan WeightLoader::plan_rows(int layer, const std::vector<WeightRole>& roles) const {
  LinearPlan plan;
  plan.shard = {Shard::kColumn, options_.plan.rank, options_.plan.world};
  for (WeightRole role : roles) {
    const RawTensor& t = *tensor(role, layer);
    Range rows = width_share(layer, options_.plan.rank);
    add(plan, role, layer, RowSource::rows(t, rows.begin, rows.end - rows.begin));
  }
  return plan;
}

WeightLoader::LinearPlan WeightLoader::plan_columns(int layer, WeightRole role, Range columns) const {
  const RawTensor& t = *tensor(role, layer);
  LinearPlan plan;
  plan.shard = {Shard::kRow, options_.plan.rank, options_.plan.world};
  RowSource s = RowSource::all(t);
  s.k_begin = columns.begin;
  s.k = columns.end - columns.begin;
  int64_t block = dtype_info(t.dtype).block_size;
  if (s.k_begin % block || s.k % block)
    fail(ErrorCode::kInvalidArgument,
         "tensor {}: {} ranks would cut its {} columns inside blocks of {} ({}); use a smaller "
         "tensor-parallel "
         "size",
         quote(t.name, 100), options_.plan.world, t.shape[1], block, dtype_info(t.dtype).name);
  add(plan, role, layer, s);
  // The ranks' products are summed: one of them adds the bias.
  if (options_.plan.rank != 0) plan.bias.back().tensor = nullptr;
  return plan;
}

WeightLoader::LinearPlan WeightLoader::plan_head(const RawTensor& table, bool sharded) const {
  LinearPlan plan;
  int world = sharded && table.shape[0] % options_.plan.world == 0 ? options_.plan.world : 1;
  int64_t rows = table.shape[0] / world;
  if (world > 1) plan.shard = {Shard::kColumn, options_.plan.rank, world};
  plan.rows = {RowSource::rows(table, world > 1 ? options_.plan.rank * rows : 0, rows)};
  return plan;
}

// The order of the columns, the same for all that share an input: GPTQ takes it from that input.
std::span<const int32_t> WeightLoader::column_order(const LinearPlan& plan) {
  const std::span<const int32_t> order = plan.rows.front().column_order();
  for (const RowSource& s : plan.rows) {
    const auto other = s.column_order();
    if (!std::ranges::equal(order, other))
      fail(ErrorCode::kUnsupported,
           "tensors {} and {}: their columns are in different orders (act-order), but they share an input",
           quote(plan.rows.front().tensor->name, 100), quote(s.tensor->name, 100));
    if (!other.empty() && s.k != s.tensor->shape[1])
      fail(ErrorCode::kUnsupported,
           "tensor {}: columns in act-order can not be cut for several ranks; use --tp 1",
           quote(s.tensor->name, 100));
  }
  return order;
}

LinearWeight WeightLoader::pack(const LinearPlan& plan, WeightBuffer& buffer, std::string name) {
  LinearWeight w;
  w.name = std::move(name);
  if (options_.plan.world > 1) w.shard = plan.shard;
  w.k = plan.rows.front().k;
  for (const RowSource& s : plan.rows) w.n += s.num_rows;
  PackedSegments packed = pack_segments(plan.rows, buffer, options_.team);
  packed.owner = owners_.back();
  w.data = std::move(packed);
  if (const auto order = column_order(plan); !order.empty()) {
    auto* copy = reinterpret_cast<int32_t*>(buffer.take(w.k * 4));
    std::ranges::copy(order, copy);
    w.input_order = copy;
  }
  if (std::any_of(plan.bias.begin(), plan.bias.end(),
                  [](const RowSource& b) { return b.tensor != nullptr; })) {
    auto* bias = reinterpret_cast<float*>(buffer.take(w.n * 4));  // zeroed
    w.bias = bias;
    for (const RowSource& b : plan.bias) {
      if (b.tensor) read_f32(b, bias);
      bias += b.num_rows;
    }
  }
  return w;
}

NormWeight WeightLoader::pack_norm(WeightRole role, int layer, WeightBuffer& buffer) {
  const RawTensor* t = tensor(role, layer);
  if (!t) return {};
  auto* w = reinterpret_cast<float*>(buffer.take(t->shape[0] * 4));
  read_f32(RowSource::all(*t), w);
  for (int64_t i = 0; i < t->shape[0] && config_.norm_offset; ++i) w[i] += 1;
  drop(t);
  return {w, config_.norm_eps};
}

void WeightLoader::drop(const RawTensor* t) {
  if (!t) return;
  done_bytes_ += static_cast<int64_t>(t->bytes.size());
  t->file->drop(t->bytes.data(), t->bytes.size());
}

LayerWeights WeightLoader::load_layer(int i) {
  const LayerConfig& l = config_.layers[static_cast<size_t>(i)];
  const bool attention = l.attention != AttentionKind::kNone, mlp = l.mlp != MlpKind::kNone;
  LinearPlan qkv, o, gate_up, down;
  if (attention) {
    HeadShare share = head_share(i);
    qkv = plan_qkv(i);
    o = plan_columns(i, kO, {share.first_head * l.head_dim, (share.first_head + share.heads) * l.head_dim});
  }
  if (mlp) {
    gate_up = plan_rows(i, {kGate, kUp});
    down = plan_columns(i, kDown, width_share(i, options_.plan.rank));
  }
  int64_t size = 0;
  for (const LinearPlan* plan : {&qkv, &o, &gate_up, &down}) {
    size += packed_size(plan->rows);
    for (const RowSource& b : plan->bias) size += WeightBuffer::rounded(b.num_rows * 4);
    if (!plan->rows.empty() && !plan->rows.front().column_order().empty())
      size += WeightBuffer::rounded(plan->rows.front().k * 4);
  }
  size += 6 * WeightBuffer::rounded(4 * int64_t{std::max(config_.hidden_size, l.head_dim)});
  auto buffer = std::make_shared<WeightBuffer>(size, arena_);
  owners_.push_back(buffer);
  weight_bytes_ += size;

  LayerWeights w;
  w.input_norm = pack_norm(kInputNorm, i, *buffer);
  w.q_norm = pack_norm(kQNorm, i, *buffer);
  w.k_norm = pack_norm(kKNorm, i, *buffer);
  if (attention) w.qkv = pack(qkv, *buffer, layer_name(i, "qkv"));
  if (attention) w.o_proj = pack(o, *buffer, layer_name(i, "o_proj"));
  w.post_attention_norm = pack_norm(kPostAttentionNorm, i, *buffer);
  w.pre_mlp_norm = pack_norm(kPreMlpNorm, i, *buffer);
  if (mlp) w.gate_up = pack(gate_up, *buffer, layer_name(i, "gate_up"));
  if (mlp) w.down_proj = pack(down, *buffer, layer_name(i, "down_proj"));
  w.post_mlp_norm = pack_norm(kPostMlpNorm, i, *buffer);
  for (WeightRole role : {kQ, kK, kV, kGroupedQkv, kO, kGate, kUp, kDown}) {
    drop(tensor(role, i));
    drop(tensor(role, i, true));
  }
  return w;
}

// The embedding table and the head. Tied: one packed copy serves both. A float table of its own stays in the
// map: a step reads only the rows of its tokens.
void WeightLoader::load_tables(DecoderWeights& weights) {
  const RawTensor& embed = *tensor(kEmbedTokens, -1);
  const RawTensor* head = tensor(kLmHead, -1);
  RawTensor head_rows = head ? *head : embed;
  if (options_.round_head && can_round_table(head_rows)) {
    check_finite(RowSource::all(head_rows));
    head_rows = rounded_table(head ? *head : embed);
  }
  if (embed.reader && !embed.reader->column_order().empty())
    fail(ErrorCode::kUnsupported, "tensor {}: an embedding table with columns in act-order",
         quote(embed.name, 100));
  const bool one_copy = !head && options_.plan.world == 1;
  const bool mapped = !one_copy && plain_float(embed.dtype) && !embed.reader && aligned_for(embed);
  LinearPlan head_plan = plan_head(head_rows, true), embed_plan = plan_head(embed, false);
  // The head may have a column order as well.
  int64_t size = packed_size(head_plan.rows) + 2 * WeightBuffer::rounded(4 * int64_t{config_.hidden_size});
  if (!one_copy && !mapped) size += packed_size(embed_plan.rows);
  auto buffer = std::make_shared<WeightBuffer>(size, arena_);
  owners_.push_back(buffer);
  weight_bytes_ += size;

  weights.final_norm = pack_norm(kFinalNorm, -1, *buffer);
  weights.lm_head = pack(head_plan, *buffer, "lm_head");
  if (one_copy) {
    weights.embed_tokens = weights.lm_head;
  } else if (mapped) {
    check_finite(RowSource::all(embed));
    TensorView view{const_cast<std::byte*>(embed.bytes.data()), embed.dtype, embed.shape, 0, Device::kCpu};
    weights.embed_tokens.data = DenseWeight{view, embed.file};
    weights.embed_tokens.n = embed.shape[0];
    weights.embed_tokens.k = embed.shape[1];
    weight_bytes_ += static_cast<int64_t>(embed.bytes.size());
  } else {
    weights.embed_tokens = pack(embed_plan, *buffer, "embed_tokens");
  }
  weights.embed_tokens.name = "embed_tokens";
  drop(&embed);
  drop(head);
}

DecoderWeights WeightLoader::load() {
  DecoderWeights weights;
  auto report = [&] {
    if (options_.progress) options_.progress(done_bytes_, total_bytes_);
  };
  report();
  // Packed forms are hardly larger than the file's; what does not fit gets memory of its own.
  arena_ = std::make_shared<WeightArena>(total_bytes_ + total_bytes_ / 8 + (8 << 20));
  for (int i = 0; i < config_.num_layers(); ++i) {
    weights.layers.push_back(load_layer(i));
    report();
  }
  load_tables(weights);
  arena_->trim();
  report();
  weights.owners = std::move(owners_);
  weights.weight_bytes = weight_bytes_;
  return weights;
}

}  // namespace turgo
