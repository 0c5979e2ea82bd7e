#include "engine/sequence.h"

#include <fmt/format.h>

namespace turgo {

// The spans that the rows in [begin, end) come from, each with the row's place in it.
std::optional<std::string> Sequence::embedding_key(int32_t begin, int32_t end) const {
  int32_t first = num_embeddings_before(begin), last = num_embeddings_before(end);
  std::string key;
  for (size_t i = 0; i < embeddings.spans.size(); ++i) {
    const auto& span = embeddings.spans[i];
    int32_t stop = i + 1 < embeddings.spans.size() ? embeddings.spans[i + 1].first_row : last;
    if (stop <= first || span.first_row >= last) continue;
    if (span.hash.empty()) return std::nullopt;
    key += fmt::format("{}:{}@{};", span.hash.size(), span.hash,
                       std::max(first, span.first_row) - span.first_row);
  }
  return key;
}

}  // namespace turgo
