// Embedding rows of a context (image spans): the ids < 0 of its tokens take them in order. Each span knows
// what it shows, for the prefix key.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace turgo {

struct EmbeddingRows {
  struct Span {
    int32_t first_row;
    std::string hash;  // empty = unknown
  };
  std::vector<float> values;  // [rows][hidden_size]
  std::vector<Span> spans;    // ascending first_row
};

}  // namespace turgo
