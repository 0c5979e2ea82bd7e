#include "eval/perplexity.h"

#include <cmath>

namespace turgo {

double PerplexityResult::perplexity() const {
  return std::exp(mean_nll);
}

PerplexityResult measure_perplexity(Pipeline& pipeline, const std::vector<TokenWindow>& windows,
                                    const std::function<void(size_t, const PerplexityResult&)>& progress) {
  double nll = 0;
  PerplexityResult result;
  for (size_t w = 0; w < windows.size(); ++w) {
    const TokenWindow& window = windows[w];
    window_logits(pipeline, window, [&](int32_t i, std::span<const float> logits) {
      if (i + 1 >= window.num_tokens()) return;
      auto target = static_cast<size_t>(window.token(i + 1));
      nll += log_sum_exp(logits) - static_cast<double>(logits[target]);
      ++result.num_scored;
    });
    result.mean_nll = nll / static_cast<double>(std::max<int64_t>(result.num_scored, 1));
    if (progress) progress(w, result);
  }
  return result;
}

}  // namespace turgo
