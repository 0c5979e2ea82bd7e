// A token and the log-probability that the model itself gave it: log-softmax of the raw logits, before
// penalties, bias, temperature and masks, as OpenAI and vLLM report it.
#pragma once

#include <cstdint>

namespace turgo {

struct TokenLogprob {
  int32_t token_id;
  float logprob;
};

}  // namespace turgo
