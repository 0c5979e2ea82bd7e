// OpenAI's count of a request's tokens. A prompt counts once, however many answers it gets.
#pragma once

#include "serve/generation.h"

namespace turgo {

struct StreamOptions {
  bool has_usage = false;    // a last chunk with the whole count
  bool counts_each = false;  // vLLM's: the count so far with every chunk
};

inline void take_stream_options(Fields& fields, StreamOptions& options) {
  fields.object("stream_options", [&](Fields& o) {
    o.flag("include_usage", options.has_usage);
    o.flag("continuous_usage_stats", options.counts_each);
    o.harmless({"include_obfuscation"});
  });
  options.counts_each = options.counts_each && options.has_usage;
}

// `num_new`: tokens that came beside those of the choices.
inline Json usage_json(const std::vector<Choice>& choices, size_t num_new = 0) {
  int64_t prompt = 0, cached = 0, completion = static_cast<int64_t>(num_new);
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
