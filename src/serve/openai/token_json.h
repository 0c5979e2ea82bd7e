// Log probabilities in OpenAI's two forms.
#pragma once

#include <vector>

#include "serve/generation.h"
#include "text/tokenizer.h"

namespace turgo {

// {"token", "logprob", "bytes", "top_logprobs"} of a chat's token.
Json chat_logprob(const Tokenizer& tokenizer, const OutputToken& token);

// The lists of a completion's "logprobs"; offsets count characters from `offset` on, which moves along.
struct CompletionLogprobs {
  Json tokens = Json::array(), token_logprobs = Json::array(), top_logprobs = Json::array(),
       text_offset = Json::array();
  int64_t offset = 0;

  void add(const Tokenizer& tokenizer, const OutputToken& token, bool has_logprob = true);
  Json to_json() const;
};

}  // namespace turgo
