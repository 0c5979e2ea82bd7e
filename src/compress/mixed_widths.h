// Bits per matrix under a budget. How much a matrix matters is measured, not guessed: with it alone rounded
// to the smallest width, how far do the model's answers move (KL on calibration text)? Its other widths are
// taken in proportion to the squared error of its outputs, and the sum over matrices is what the widths
// minimise. (Sharing bits out by each matrix's relative error instead was worse than one width for all.)
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compress/layer_runner.h"

namespace turgo {

inline constexpr std::array<int, 3> kMixedWidths = {2, 3, 4};
inline constexpr int64_t kProbeTokens = 512;  // 256 to 2,048 led to much the same quality

struct WidthCosts {
  std::string name;
  int64_t num_weights = 0;
  std::array<double, kMixedWidths.size()> loss{};  // nats, by width
};

// A width for each matrix: the least sum of losses whose mean width is at most `target_bits`, up to one step
// of one matrix. Requires target_bits >= the smallest width.
std::vector<int> share_out_widths(const std::vector<WidthCosts>& matrices, double target_bits);

// The whole model as it is, which goes on from any layer with states that a changed layer made.
class ModelTail {
 public:
  ModelTail(const SourceModel& source, const TeamMath& math,
            const std::vector<std::vector<int32_t>>& samples);

  // The samples as the first layer sees them.
  const HiddenStates& embedded() const { return embedded_; }
  // Mean KL(model || model with these states in front of layer `index`), in nats, over all tokens.
  double kl(int index, HiddenStates states);

 private:
  DecoderConfig config_;
  HiddenStates embedded_, final_;
  std::unique_ptr<SampleRunner> runner_;
  const TeamMath& math_;
};

}  // namespace turgo
