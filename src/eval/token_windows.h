// How a text is cut for perplexity and KL: tokenised once without special tokens, into windows of `ctx`
// tokens that do not overlap; a model that wants BOS gets it in front of each window, beyond its ctx tokens.
// Row i of the text is the logits after text token i, given the tokens of its window up to i; every token but
// a window's first is scored.
#pragma once

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

// The windows of a text file; max_tokens > 0 takes only the first ones. Throws Error{kNotFound, kIo,
// kInvalidArgument, kTooLong} (an empty text, ctx beyond the model's context).
std::vector<TokenWindow> read_windows(const Pipeline& pipeline, const std::string& path, int32_t ctx,
                                      int64_t max_tokens = 0);

// Calls sink(i, logits) for each text token i of the window in order, without the BOS row.
void window_logits(Pipeline& pipeline, const TokenWindow& window,
                   const std::function<void(int32_t, std::span<const float>)>& sink);

// log(sum(exp(logits))), in double.
double log_sum_exp(std::span<const float> logits);

}  // namespace turgo
