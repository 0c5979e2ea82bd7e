// Hand-written scanners for the published pre-tokenizer patterns. Each returns the length in bytes of the
// word that starts `text` (valid UTF-8, not empty). They look at every character a constant number of times,
// except that a run of white space may be looked at three times: linear over a whole text.
#pragma once

#include <cstddef>
#include <string_view>

namespace turgo {

// GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t scan_gpt2(std::string_view text);

// Llama 3 (max_digits 3) and Qwen 2 (1):
// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t scan_llama3(std::string_view text, int max_digits);

}  // namespace turgo
