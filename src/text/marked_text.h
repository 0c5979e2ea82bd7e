// Text whose bytes remember where they came from. A chat template writes control tokens such as <|im_end|>; a
// user who types the same characters must not. The template engine therefore marks every byte that came from
// a message (user, tool result, name …) as input, and the tokenizer matches control tokens only outside input
// bytes.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace turgo {

struct MarkedText {
  struct Range {
    size_t begin, end;  // byte offsets, begin < end
  };
  std::string text;
  std::vector<Range> input;  // sorted, disjoint, not touching
};

}  // namespace turgo
