// SentencePiece's precompiled character map: a double-array trie (darts-clone) from byte strings to offsets
// of NUL-terminated replacements. Layout: uint32 trie size in bytes, little-endian units of 32 bits, then the
// strings. Every index is checked while it walks, so a hostile blob can only give wrong text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turgo {

class Charsmap {
 public:
  // An empty blob is the identity. Throws Error{kCorrupt}; `what` names the file.
  Charsmap(std::string_view blob, const std::string& what);

  struct Rule {
    size_t size = 0;               // bytes of text that the longest matching rule covers; 0 if none does
    std::string_view replacement;  // valid while the map lives
  };
  Rule longest(std::string_view text) const;
  bool empty() const { return units_.empty(); }

 private:
  std::vector<uint32_t> units_;
  std::string strings_;  // ends with NUL
};

}  // namespace turgo
