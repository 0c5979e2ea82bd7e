#include "engine/step_pacer.h"

#include <algorithm>
#include <cmath>

namespace turgo {
namespace {

constexpr double kKeys = 1024;        // keys per unit of a term, so that all terms have similar sizes
constexpr double kLeastShare = 0.25;  // of its decodes' time that a step leaves a prompt, however they grow
constexpr double kHeldUp = 1.5;       // times what was expected: more is taken for that
constexpr int32_t kFirstRows = 16;    // of a prompt beside decodes, before any prompt was measured

// Where the steps so far do not tell terms apart, the first one takes the cost. The order makes that err to
// the side of short chunks: decodes cost what they cost so far, rows all that a step took.
OnlineFit::Terms decode_terms(int32_t num_decodes, int64_t keys) {
  return {1, static_cast<double>(num_decodes), static_cast<double>(keys) / kKeys};
}

OnlineFit::Terms prefill_terms(bool alone, double rows, double keys) {
  return {rows, keys / kKeys, alone ? 1.0 : 0.0};
}

}  // namespace

double OnlineFit::predict(const Terms& x) const {
  double y = 0;
  for (int i = 0; i < kTerms; ++i) y += weights_[static_cast<size_t>(i)] * x[static_cast<size_t>(i)];
  return y;
}

// Least squares of (y - w x) / error by coordinate descent from the last solution: directions that recent
// steps say nothing about keep what they were.
void OnlineFit::observe(const Terms& x, double y, double error) {
  // A step that the machine held up (another process, a page fault) says little about the next one. On shared
  // machines that is every tenth: the fit shall follow what is usual, not the mean.
  if (count_ > 8) y = std::min(y, kHeldUp * predict(x) + 1e-9);
  ++count_;
  double scale = 1 / (error * error);
  for (size_t i = 0; i < kTerms; ++i) {
    product_[i] = decay_ * product_[i] + scale * x[i] * y;
    for (size_t j = 0; j < kTerms; ++j) moment_[i][j] = decay_ * moment_[i][j] + scale * x[i] * x[j];
  }
  for (int sweep = 0; sweep < 16; ++sweep)
    for (size_t i = 0; i < kTerms; ++i) {
      if (moment_[i][i] <= 0) continue;
      double rest = product_[i];
      for (size_t j = 0; j < kTerms; ++j)
        if (j != i) rest -= moment_[i][j] * weights_[j];
      weights_[i] = std::max(rest / moment_[i][i], 0.0);
    }
}

void StepPacer::observe(const StepWork& work, double seconds) {
  if (work.num_decodes > 0 && work.prefill_rows == 0)
    known_keys_ = work.decode_keys + work.decode_keys / 16 + int64_t{32} * work.num_decodes;
  if (!(seconds > 0) || !std::isfinite(seconds)) return;
  if (work.prefill_rows == 0) {
    if (work.num_decodes > 0)
      decode_.observe(decode_terms(work.num_decodes, work.decode_keys), seconds, seconds);
    return;
  }
  double decodes = work.num_decodes > 0 ? decode_seconds(work.num_decodes, work.decode_keys) : 0;
  prefill_.observe(prefill_terms(work.num_decodes == 0, work.prefill_rows, work.prefill_keys),
                   std::max(seconds - decodes, 0.0), seconds);
}

double StepPacer::decode_seconds(int32_t num_decodes, int64_t decode_keys) const {
  return decode_.predict(decode_terms(num_decodes, decode_keys));
}

double StepPacer::prefill_seconds(int32_t rows, int32_t first) const {
  return prefill_.predict(prefill_terms(false, rows, keys_of(first, rows)));
}

double StepPacer::prefill_budget(int32_t num_decodes, int64_t decode_keys, int64_t grown) const {
  if (num_decodes == 0 || stretch_ <= 0 || decode_.count() == 0) return kUnbounded;
  double alone = decode_seconds(num_decodes, decode_keys);
  double before = decode_seconds(num_decodes, std::max<int64_t>(decode_keys - grown, 0));
  return std::max(stretch_ * before - alone, kLeastShare * std::min(stretch_ - 1, 1.0) * alone);
}

int32_t StepPacer::rows_within(double seconds, int32_t first) const {
  constexpr int32_t kMost = 1 << 20;
  if (seconds == kUnbounded) return kMost;
  if (prefill_.count() == 0) return kFirstRows;
  // quadratic * rows^2 + linear * rows <= seconds
  double quadratic = prefill_.weights()[1] / kKeys / 2;
  double linear = prefill_.weights()[0] + prefill_.weights()[1] / kKeys * first + quadratic;
  seconds = std::max(seconds, 0.0);
  double denominator = linear + std::sqrt(linear * linear + 4 * quadratic * seconds);
  double rows = denominator > 0 ? 2 * seconds / denominator : kMost;
  return static_cast<int32_t>(std::clamp<double>(rows, 0, kMost));
}

}  // namespace turgo
