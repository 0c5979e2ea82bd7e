// Perplexity: exp of the mean negative log likelihood over the scored tokens of a text (token_windows.h).
#pragma once

#include "eval/token_windows.h"

namespace turgo {

struct PerplexityResult {
  double mean_nll = 0;
  int64_t num_scored = 0;
  double perplexity() const;
};

// `progress` gets the result so far after each window.
PerplexityResult measure_perplexity(
    Pipeline& pipeline, const std::vector<TokenWindow>& windows,
    const std::function<void(size_t, const PerplexityResult&)>& progress = {});

}  // namespace turgo
