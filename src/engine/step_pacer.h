// How many prompt rows a step may take so that the streams that run beside it keep their pace. What a step
// costs is learned from the steps that ran:
//   decodes alone   seconds = a + b * decodes + c * keys
//   prompt rows     seconds - decodes alone = d * (no decodes) + e * rows + f * keys
// `keys` are the cache entries that the step's rows look at. Coefficients are >= 0 and fit recent steps best
// in relative error. Pure: the caller gives the durations, so a virtual clock replays exactly.
// Rows of a chunk share the pages that they read. A term for it (keys counted once per chunk) gave the same
// chunks: the fit follows the last steps.
#pragma once

#include <array>
#include <cstdint>
#include <limits>

namespace turgo {

// Rows that go through some of the layers count as the share of the layers, and so do their keys.
struct StepWork {
  int32_t num_decodes = 0;
  double prefill_rows = 0;
  int64_t decode_keys = 0;
  double prefill_keys = 0;
};

// y = sum of w[i] x[i], w >= 0, over a window of about 1 / (1 - decay) observations.
class OnlineFit {
 public:
  static constexpr int kTerms = 3;
  using Terms = std::array<double, kTerms>;
  explicit OnlineFit(double decay) : decay_(decay) {}
  void observe(const Terms& x, double y, double error);  // error > 0: what y may be off by, relatively
  double predict(const Terms& x) const;
  const Terms& weights() const { return weights_; }
  int64_t count() const { return count_; }

 private:
  double decay_;
  int64_t count_ = 0;
  Terms weights_{}, product_{};         // product = sum of x y
  std::array<Terms, kTerms> moment_{};  // sum of x x^T
};

class StepPacer {
 public:
  // A step with decodes may take `stretch` times as long as its decodes alone took; 0 = no bound.
  explicit StepPacer(double stretch) : stretch_(stretch) {}

  void observe(const StepWork& work, double seconds);

  static constexpr double kUnbounded = std::numeric_limits<double>::infinity();
  // No step of decodes alone has run yet, or they have grown since: one has to, so that it is known what they
  // cost. While a prompt is read nothing else tells, and a single such step may be noise.
  bool must_measure(int32_t num_decodes, int64_t decode_keys) const {
    return stretch_ > 0 && num_decodes > 0 && decode_keys > known_keys_;
  }
  // Seconds that prompt rows may add to a step of these decodes; kUnbounded without decodes. Of their keys,
  // `grown` came while the prompt was read: the step may take `stretch` times what the decodes took before
  // that, but a quarter of what they take now is always there for the prompt.
  double prefill_budget(int32_t num_decodes, int64_t decode_keys, int64_t grown = 0) const;
  // Rows from cache index `first` on that fit into `seconds`; 0 if not even one does.
  int32_t rows_within(double seconds, int32_t first) const;
  double prefill_seconds(int32_t rows, int32_t first) const;
  double decode_seconds(int32_t num_decodes, int64_t decode_keys) const;

  // Keys that rows [first, first + rows) look at.
  static double keys_of(int32_t first, int32_t rows) { return rows * (first + (rows + 1) / 2.0); }

 private:
  double stretch_;
  int64_t known_keys_ = -1;  // up to so many keys it is known what decodes cost
  OnlineFit decode_{0.98}, prefill_{0.9};
};

}  // namespace turgo
