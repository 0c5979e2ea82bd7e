#include "compress/block_loss.h"

#include <numeric>

namespace turgo {

BlockLoss::BlockLoss(const DecoderConfig& config, const TeamMath& math, const SourceLayer& layer,
                     HiddenStates states)
    : runner_(config, math), math_(math), before_(std::move(states)) {
  between_ = after(layer, LinearInput::kQkv);
  behind_ = after(layer, LinearInput::kGateUp);
}

HiddenStates BlockLoss::after(const SourceLayer& layer, LinearInput input) const {
  SourceLayer half = layer;
  const bool attention = input == LinearInput::kQkv;
  (attention ? half.gate : half.q) = {};
  (attention ? half.up : half.k) = {};
  (attention ? half.down : half.v) = {};
  if (attention) {
    half.config.mlp = MlpKind::kNone;
  } else {
    half.o = {};
    half.config.attention = AttentionKind::kNone;
  }
  HiddenStates states = attention ? before_ : between_;
  runner_.run(half, states, {});
  return states;
}

double BlockLoss::operator()(const SourceLayer& changed, LinearInput input) const {
  const HiddenStates now = after(changed, input), &was = input == LinearInput::kQkv ? between_ : behind_;
  std::vector<double> sums(static_cast<size_t>(was.num_tokens()));
  math_.for_each(was.num_tokens(), [&](int64_t t) {
    double sum = 0;
    for (int64_t i = t * was.hidden_size; i < (t + 1) * was.hidden_size; ++i) {
      const auto at = static_cast<size_t>(i);
      const double d = static_cast<double>(now.rows[at]) - static_cast<double>(was.rows[at]);
      sum += d * d;
    }
    sums[static_cast<size_t>(t)] = sum;
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace turgo
