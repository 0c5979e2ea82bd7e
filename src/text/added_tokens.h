// Finds added tokens in a text: leftmost, of those the longest, with Hugging Face's lstrip, rstrip and
// single_word. Control tokens are found only outside protected ranges (bytes that came from a user). Linear:
// at each byte a trie walk of at most the longest token (validate_spec bounds it), nearly always ended by the
// first byte.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/marked_text.h"
#include "text/tokenizer_spec.h"

namespace turgo {

class AddedTokens {
 public:
  // Pairs of (what to look for, token). The tokens must outlive the object.
  AddedTokens() = default;
  explicit AddedTokens(std::vector<std::pair<std::string, const AddedToken*>> tokens);

  struct Hit {
    size_t begin, end;  // bytes, white space that was swallowed included
    const AddedToken* token;
  };
  // In order; a hit may begin inside the white space that the one before swallowed. `allow_control`: match
  // control tokens at all; `protect`: sorted, disjoint ranges without them.
  std::vector<Hit> find(std::string_view text, bool allow_control,
                        std::span<const MarkedText::Range> protect) const;

 private:
  std::vector<std::pair<std::string, const AddedToken*>> tokens_;
  ByteTrie trie_;
  bool starts_[256] = {};
};

}  // namespace turgo
