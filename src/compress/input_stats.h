// What calibration keeps of a linear's input x, summed over all tokens of the samples. Methods are
// `statistics -> solve(weight, statistics)`: none sees a token again.
//   H       sum of x x^T [k][k]: GPTQ, SparseGPT, AWQ's objective tr(dW H dW^T), Wanda's norms on its
//   diagonal absmax  max |x_j|, absmean  mean |x_j| [k]: smoothing
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "compress/observing_executor.h"
#include "compress/team_math.h"

namespace turgo {

struct InputStats {
  int64_t k = 0, num_tokens = 0;
  std::vector<float> h;       // [k][k], symmetric; blocks on the diagonal only where `sample` is filled
  std::vector<float> sample;  // [sample_rows][k] of the tokens, evenly spread; or empty
  int64_t sample_rows = 0;
  std::vector<float> absmax, absmean;  // [k]

  float h_at(int64_t i, int64_t j) const { return h[static_cast<size_t>(i * k + j)]; }
  // The statistics of x / s: what the linear sees after a smoothing scale s [k] was folded away.
  void divide_by(const std::vector<float>& s);
};

// How much of H a method needs. Its whole product costs tokens x k^2 for every linear input; AWQ gets by with
// the blocks on its diagonal and a sample of the tokens where an input is wider than kWideInput.
enum class HessianNeed : uint8_t { kWhole, kBlocksWhereWide };
inline constexpr int64_t kWideInput = 4096, kSampleRows = 2048;

class StatsCollector {
 public:
  // num_tokens: what will come in all, so that samples are spread over it.
  StatsCollector(const TeamMath& math, HessianNeed need, int64_t num_tokens)
      : math_(math),
        need_(need),
        stride_(std::max<int64_t>(1, (num_tokens + kSampleRows - 1) / kSampleRows)) {}
  // A watcher for LayerRunner; rows are gathered into chunks, since a product over few tokens is slow.
  InputWatcher watcher();
  // Ends the collection.
  std::array<InputStats, kNumLinearInputs> finish();

 private:
  struct Input {
    InputStats stats;
    std::vector<float> pending;  // rows that are not in h yet
    std::vector<double> abs_sum;
    bool blocks = false;
  };
  void add(Input& input, const float* x, int64_t rows, int64_t k);
  void flush(Input& input);

  const TeamMath& math_;
  HessianNeed need_;
  int64_t stride_;
  std::array<Input, kNumLinearInputs> inputs_;
};

// tr(dW H dW^T): the squared error of a linear's outputs over all calibration tokens when its weights change
// by dW [n][k]; from the sample where that is all there is. H is symmetric, so that columns are multiplied
// with the part of it above the diagonal, twice, and with blocks on the diagonal: little more than half the
// work.
class ErrorMeter {
 public:
  ErrorMeter(const InputStats& stats, const TeamMath& math);
  double operator()(const std::vector<float>& delta, int64_t n) const;

 private:
  const TeamMath& math_;
  bool sampled_;
  double weight_;
  int64_t k_;
  std::vector<PackedMatrix> parts_;  // columns [i * 192, …) of H, rows up to the block's end; or the sample
};

}  // namespace turgo
