// The tokenizer of a Hugging Face folder: tokenizer.json, else tokenizer.model, with what
// tokenizer_config.json and added_tokens.json add to it (BOS, EOS, added tokens, add_bos_token …).
#pragma once

#include <string>

#include "text/tokenizer_spec.h"

namespace turgo {

bool has_tokenizer(const std::string& folder);

// Throws Error{kNotFound} if there is none of the two files; else as their readers.
TokenizerSpec read_tokenizer_folder(const std::string& folder);

}  // namespace turgo
