#include "text/byte_trie.h"

#include <algorithm>

namespace turgo {

ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  std::sort(entries.begin(), entries.end());
  std::erase_if(entries, [](const auto& entry) { return entry.first.empty(); });

  // Level by level: the nodes of one depth are ranges of the sorted list that share a prefix of that length.
  struct Range {
    size_t begin, end, node;
  };
  nodes_.emplace_back();
  std::vector<Range> level{{0, entries.size(), 0}}, next;
  for (size_t depth = 0; !level.empty(); ++depth, level.swap(next)) {
    next.clear();
    for (const Range& range : level) {
      size_t i = range.begin;
      while (i < range.end && entries[i].first.size() == depth) {  // sorted: strings that end here come first
        if (nodes_[range.node].value < 0) nodes_[range.node].value = entries[i].second;
        ++i;
      }
      nodes_[range.node].first_child = static_cast<uint32_t>(nodes_.size());
      while (i < range.end) {
        const char byte = entries[i].first[depth];
        size_t end = i;
        while (end < range.end && entries[end].first[depth] == byte) ++end;
        next.push_back({i, end, nodes_.size()});
        Node child;
        child.byte = static_cast<uint8_t>(byte);
        nodes_.push_back(child);
        ++nodes_[range.node].num_children;
        i = end;
      }
    }
  }
}

}  // namespace turgo
