// A read-only trie over bytes: nodes in breadth-first order, the children of a node side by side and sorted,
// 12 bytes per node. Build sorts its input; a look-up walks one byte at a time (binary search among at most
// 256 children).
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace turgo {

class ByteTrie {
 public:
  ByteTrie() = default;
  // Values must be >= 0. Of equal strings the lowest value counts. Empty strings are left out.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  static constexpr int32_t kRoot = 0;
  bool empty() const { return nodes_.size() <= 1; }
  // The child of `node` along `byte`, -1 if none.
  int32_t step(int32_t node, uint8_t byte) const {
    const Node& n = nodes_[static_cast<size_t>(node)];
    uint32_t low = n.first_child, size = n.num_children;
    while (size > 0) {
      const uint32_t half = size / 2;
      const uint8_t b = nodes_[low + half].byte;
      if (b == byte) return static_cast<int32_t>(low + half);
      if (b < byte) {
        low += half + 1;
        size -= half + 1;
      } else {
        size = half;
      }
    }
    return -1;
  }
  int32_t value(int32_t node) const {
    return nodes_[static_cast<size_t>(node)].value;
  }  // -1 if no string ends here

  struct Match {
    int32_t value = -1;
    size_t size = 0;
  };
  // The longest string of the trie that begins `text`.
  Match longest_prefix(std::string_view text) const {
    Match match;
    int32_t node = nodes_.empty() ? -1 : kRoot;
    for (size_t i = 0; i < text.size() && node >= 0; ++i) {
      node = step(node, static_cast<uint8_t>(text[i]));
      if (node >= 0 && value(node) >= 0) match = {value(node), i + 1};
    }
    return match;
  }

 private:
  struct Node {
    int32_t value = -1;
    uint32_t first_child = 0;
    uint16_t num_children = 0;
    uint8_t byte = 0;
  };
  std::vector<Node> nodes_;
};

}  // namespace turgo
