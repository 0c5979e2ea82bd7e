#include "compress/mixed_widths.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "core/error.h"
#include "eval/kl_divergence.h"
#include "models/load_model.h"

namespace turgo {
namespace {

constexpr size_t kNumWidths = kMixedWidths.size();

int64_t bits_of(const std::vector<WidthCosts>& matrices, const std::vector<size_t>& choice) {
  int64_t bits = 0;
  for (size_t i = 0; i < matrices.size(); ++i) bits += matrices[i].num_weights * kMixedWidths[choice[i]];
  return bits;
}

// The best widths where a bit costs `price`.
std::vector<size_t> choose_at(const std::vector<WidthCosts>& matrices, double price) {
  std::vector<size_t> choice;
  for (const WidthCosts& m : matrices) {
    auto total = [&](size_t w) {
      return m.loss[w] + price * static_cast<double>(m.num_weights * kMixedWidths[w]);
    };
    size_t best = 0;
    for (size_t w = 1; w < kNumWidths; ++w)
      if (total(w) < total(best)) best = w;
    choice.push_back(best);
  }
  return choice;
}

// What the price left over goes to the step that gains most for its bits.
void spend_rest(const std::vector<WidthCosts>& matrices, int64_t budget, std::vector<size_t>& choice) {
  int64_t used = bits_of(matrices, choice);
  for (;;) {
    double best_gain = 0;
    size_t best = 0, best_width = 0;
    for (size_t i = 0; i < matrices.size(); ++i)
      for (size_t w = choice[i] + 1; w < kNumWidths; ++w) {
        const int64_t more = matrices[i].num_weights * (kMixedWidths[w] - kMixedWidths[choice[i]]);
        const double gain = (matrices[i].loss[choice[i]] - matrices[i].loss[w]) / static_cast<double>(more);
        if (used + more <= budget && gain > best_gain) best_gain = gain, best = i, best_width = w;
      }
    if (best_gain == 0) return;
    used += matrices[best].num_weights * (kMixedWidths[best_width] - kMixedWidths[choice[best]]);
    choice[best] = best_width;
  }
}

}  // namespace

std::vector<int> share_out_widths(const std::vector<WidthCosts>& matrices, double target_bits) {
  int64_t weights = 0;
  for (const WidthCosts& m : matrices) weights += m.num_weights;
  const auto budget = static_cast<int64_t>(target_bits * static_cast<double>(weights));
  CHECK(target_bits >= kMixedWidths.front(), "{} bits", target_bits);
  double low = 0, high = 1;  // prices; losses are nats, so that one nat a bit buys nothing
  std::vector<size_t> choice = choose_at(matrices, low);
  if (bits_of(matrices, choice) > budget) {
    for (int i = 0; i < 100; ++i) {
      const double middle = (low + high) / 2;
      (bits_of(matrices, choose_at(matrices, middle)) > budget ? low : high) = middle;
    }
    choice = choose_at(matrices, high);
  }
  if (bits_of(matrices, choice) > budget) std::ranges::fill(choice, size_t{0});
  spend_rest(matrices, budget, choice);
  std::vector<int> widths;
  for (size_t w : choice) widths.push_back(kMixedWidths[w]);
  return widths;
}

ModelTail::ModelTail(const SourceModel& source, const TeamMath& math,
                     const std::vector<std::vector<int32_t>>& samples)
    : embedded_(embed_samples(source, samples)), final_(embedded_), math_(math) {
  LoadOptions options;
  options.precision = Precision::kF32;
  options.team = &math.team();
  LoadedModel model = load_model(source.shared_file(), options);
  config_ = model.config;
  runner_ = std::make_unique<SampleRunner>(config_, std::move(model.weights), math, nullptr, embedded_);
  runner_->run(0, config_.num_layers(), final_);
}

double ModelTail::kl(int index, HiddenStates states) {
  runner_->run(index, config_.num_layers(), states);
  constexpr int64_t kBlock = 32;  // rows whose logits are in memory at once
  const int64_t vocab = config_.vocab_size, tokens = states.num_tokens();
  std::vector<float> wanted(static_cast<size_t>(kBlock * vocab)), got(wanted.size());
  std::vector<double> kls(static_cast<size_t>(tokens));
  for (int64_t begin = 0; begin < tokens; begin += kBlock) {
    const int64_t count = std::min(kBlock, tokens - begin);
    runner_->logits(final_, begin, count, wanted.data());
    runner_->logits(states, begin, count, got.data());
    math_.for_each(count, [&](int64_t r) {
      const auto size = static_cast<size_t>(vocab);
      const std::span<const float> reference(wanted.data() + r * vocab, size),
          row(got.data() + r * vocab, size);
      kls[static_cast<size_t>(begin + r)] = row_kl(reference, log_sum_exp(reference), row, log_sum_exp(row));
    });
  }
  return std::accumulate(kls.begin(), kls.end(), 0.0) / static_cast<double>(tokens);
}

}  // namespace turgo
