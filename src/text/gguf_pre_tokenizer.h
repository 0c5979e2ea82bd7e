// The names that GGUF files use for pre-tokenizers (tokenizer.ggml.pre), and what they stand for: the steps
// that the models' published tokenizer.json files contain.
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer_spec.h"

namespace turgo {

struct GgufPreTokenizer {
  std::vector<PreTokenizerStep> steps;
  bool ignore_merges = false;
  bool add_bos = false;  // when the file does not say
  bool nfc = false;
};

// Throws Error{kUnsupported} for a name that is not known: guessed cuts would give silently worse answers.
GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& file);

}  // namespace turgo
