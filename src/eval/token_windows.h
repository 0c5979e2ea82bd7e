// How a text is cut for perplexity and KL: tokenised once without special tokens, into windows of `ctx`
// tokens that do not overlap; a model that wants BOS gets it in front of each window, beyond its ctx tokens.
// Row i of the text is the logits after text token i, given the tokens of its window up to i; every token but
// a window's first is scored.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "pipeline/pipeline.h"

namespace turgo {

struct TokenWindow {
  std::vector<int32_t> ids;  // BOS, if any, and at most ctx tokens
  int32_t num_prefix = 0;    // 1 with BOS
  int64_t first_row = 0;     // row of the text that the first token is

  int32_t num_tokens() const { return static_cast<int32_t>(ids.size()) - num_prefix; }
  // Text token i of the window.
  int32_t token(int32_t i) const { return ids[static_cast<size_t>(num_prefix) + static_cast<size_t>(i)]; }
};

// bos_id < 0: none.
std::vector<TokenWindow> cut_windows(std::span<const int32_t> ids, int32_t ctx, int32_t bos_id);

// The windows of a text file; max_tokens > 0 takes only the first ones behind `skip_tokens`. Throws
// Error{kNotFound, kIo, kInvalidArgument, kTooLong} (an empty text, ctx beyond the model's context).
std::vector<TokenWindow> read_windows(const Pipeline& pipeline, const std::string& path, int32_t ctx,
                                      int64_t max_tokens = 0, int64_t skip_tokens = 0);

// Calls sink(i, logits) for each text token i of the window in order, without the BOS row.
void window_logits(Pipeline& pipeline, const TokenWindow& window,
                   const std::function<void(int32_t, std::span<const float>)>& sink);

// e^x for x <= 0, relative error 2e-7, 0 below -87. Arithmetic alone, so that compilers vectorise loops over
// it: a vocabulary has up to 262,144 entries, and the library's exp takes as long as a small model.
inline float exp_of_negative(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted =
      clamped * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer in the low bits
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.3950602e-3f;
  for (float c : {8.3689531e-3f, 4.1666206e-2f, 1.6666518e-1f, 0.5f}) p = p * r + c;
  p = r * r * p + r + 1;
  const float power = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) << 23) + (127u << 23));
  return x < -87.0f ? 0 : p * power;
}

// The largest of the logits.
float max_of(std::span<const float> logits);
// log(sum(exp(logits))), summed in double; NaN where a logit is.
double log_sum_exp(std::span<const float> logits);

}  // namespace turgo
