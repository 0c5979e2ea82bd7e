// How a request wants its tokens chosen. Conventions follow transformers and the OpenAI API; the order of the
// steps is penalties, logit bias, temperature, top-k, top-p, min-p, draw.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace turgo {

struct SamplingParams {
  float temperature = 0.8f;      // 0 = greedy
  int32_t top_k = 40;            // 0 or -1 = off; 1 = greedy
  float top_p = 0.8f;            // (0, 1]; 1 = off
  float min_p = 0;               // [0, 1]; tokens below min_p * p(max) are dropped
  float repetition_penalty = 1;  // > 0; divides positive and multiplies negative logits of seen tokens
  float presence_penalty = 0;    // [-2, 2], generated tokens only
  float frequency_penalty = 0;   // [-2, 2], per occurrence among the generated tokens
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
  int32_t num_logprobs = -1;   // -1 = none, 0 = the chosen token's, n = and the n best
  int32_t min_new_tokens = 0;  // EOS and stop tokens are masked before
};

}  // namespace turgo
