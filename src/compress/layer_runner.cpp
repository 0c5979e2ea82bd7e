#include "compress/layer_runner.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"
#include "models/decoder.h"
#include "ops/eager.h"

namespace turgo {
namespace {

NormWeight norm(const std::vector<float>& weight, float eps) {
  return weight.empty() ? NormWeight{} : NormWeight{weight.data(), eps};
}

// Several matrices of one input as the segments of one packed weight.
struct FusedLinear {
  std::vector<PackedMatrix> parts;
  std::vector<float> bias;
  LinearWeight weight;

  FusedLinear(std::initializer_list<const LinearMatrix*> matrices, const char* name, ThreadTeam& team) {
    PackedSegments segments;
    bool any_bias = false;
    for (const LinearMatrix* m : matrices) {
      if (!*m) continue;
      parts.emplace_back(m->weight.data(), m->n, m->k, team);
      segments.segments.push_back(parts.back().weight());
      weight.n += m->n;
      weight.k = m->k;
      any_bias = any_bias || !m->bias.empty();
      bias.insert(bias.end(), m->bias.begin(), m->bias.end());
      bias.resize(static_cast<size_t>(weight.n));
    }
    weight.name = name;
    weight.data = std::move(segments);
    if (any_bias) weight.bias = bias.data();
  }
};

int32_t longest_of(const HiddenStates& states) {
  int64_t longest = 1;
  for (size_t i = 1; i < states.offsets.size(); ++i)
    longest = std::max(longest, states.offsets[i] - states.offsets[i - 1]);
  return static_cast<int32_t>(longest);
}

std::shared_ptr<Executor> watched(std::shared_ptr<Executor> executor, const InputWatcher& watcher) {
  return watcher ? make_observing_executor(std::move(executor), watcher) : executor;
}

}  // namespace

SampleRunner::SampleRunner(const DecoderConfig& config, DecoderWeights weights, const TeamMath& math,
                           const InputWatcher& watcher, const HiddenStates& samples)
    : executor_(watched(make_eager_executor(math.shared_team(), math.kernels(), Precision::kF32), watcher)),
      decoder_(config, std::move(weights), executor_, KvType::kF32, longest_of(samples),
               longest_of(samples)) {
  const int32_t longest = longest_of(samples);
  blocks_.resize(static_cast<size_t>((longest + kKvBlockTokens - 1) / kKvBlockTokens));
  std::iota(blocks_.begin(), blocks_.end(), 0);
  positions_.resize(static_cast<size_t>(longest));
  std::iota(positions_.begin(), positions_.end(), 0);
  for (const CacheSpec& spec : decoder_.cache_specs()) {
    memory_.push_back(executor_->allocate(spec.block_bytes * static_cast<int64_t>(blocks_.size())));
    pools_.push_back(static_cast<std::byte*>(memory_.back().get()));
  }
}

void SampleRunner::run(int begin, int end, HiddenStates& states) {
  for (int64_t i = 0; i < states.num_samples(); ++i) {
    const int64_t first = states.offsets[static_cast<size_t>(i)];
    SequenceRows sequence;
    sequence.num_rows = static_cast<int32_t>(states.offsets[static_cast<size_t>(i) + 1] - first);
    sequence.block_table = blocks_.data();
    std::vector<std::vector<SequenceRows>> sequences(pools_.size(), {sequence});
    StepInput in;
    in.num_rows = sequence.num_rows;
    in.positions = positions_.data();
    in.sequences = sequences;
    in.pools = pools_;
    decoder_.forward_layers(
        begin, end, in,
        f32_matrix(states.rows.data() + first * states.hidden_size, sequence.num_rows, states.hidden_size));
    executor_->synchronize();
  }
}

void SampleRunner::logits(const HiddenStates& states, int64_t begin, int64_t count, float* out) {
  std::vector<int32_t> rows(static_cast<size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  StepInput in;
  in.num_rows = static_cast<int32_t>(count);
  in.logits_rows = rows;
  auto* first = const_cast<float*>(states.rows.data()) + begin * states.hidden_size;  // read only
  decoder_.logits(in, f32_matrix(first, count, states.hidden_size),
                  f32_matrix(out, count, decoder_.config().vocab_size));
  executor_->synchronize();
}

HiddenStates embed_samples(const SourceModel& model, const std::vector<std::vector<int32_t>>& samples) {
  HiddenStates states;
  states.hidden_size = model.config().hidden_size;
  states.offsets.push_back(0);
  for (const auto& ids : samples)
    states.offsets.push_back(states.offsets.back() + static_cast<int64_t>(ids.size()));
  states.rows.resize(static_cast<size_t>(states.num_tokens() * states.hidden_size));
  for (size_t i = 0; i < samples.size(); ++i)
    model.embed(samples[i], states.rows.data() + states.offsets[i] * states.hidden_size);
  return states;
}

void LayerRunner::run(const SourceLayer& layer, HiddenStates& states, const InputWatcher& watcher) const {
  DecoderConfig config = config_;
  config.layers = {layer.config};
  FusedLinear qkv({&layer.q, &layer.k, &layer.v}, "qkv", math_.team()), o({&layer.o}, "o_proj", math_.team());
  FusedLinear gate_up({&layer.gate, &layer.up}, "gate_up", math_.team()),
      down({&layer.down}, "down_proj", math_.team());
  LayerWeights w;
  const float eps = config.norm_eps;
  w.input_norm = norm(layer.input_norm, eps);
  w.post_attention_norm = norm(layer.post_attention_norm, eps);
  w.pre_mlp_norm = norm(layer.pre_mlp_norm, eps);
  w.post_mlp_norm = norm(layer.post_mlp_norm, eps);
  w.q_norm = norm(layer.q_norm, eps);
  w.k_norm = norm(layer.k_norm, eps);
  w.qkv = qkv.weight;
  w.o_proj = o.weight;
  w.gate_up = gate_up.weight;
  w.down_proj = down.weight;
  DecoderWeights weights;
  weights.layers = {w};

  SampleRunner(config, std::move(weights), math_, watcher, states).run(0, 1, states);
}

}  // namespace turgo
