// OpenAI's count of a request's tokens. A prompt counts once, however many answers it gets.
#pragma once

#include "serve/generation.h"

namespace turgo {

inline Json usage_json(const std::vector<Choice>& choices) {
  int64_t prompt = 0, cached = 0, completion = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    completion += static_cast<int64_t>(choices[i].tokens.size());
    if (i > 0 && choices[i].prompt == choices[i - 1].prompt) continue;
    prompt += choices[i].stream.num_input_tokens();
    cached += choices[i].stats.cached_tokens;
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

}  // namespace turgo
