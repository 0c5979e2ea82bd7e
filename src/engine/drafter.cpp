#include "engine/drafter.h"

namespace turgo {

bool DraftTree::is_valid() const {
  if (parents.size() != token_ids.size() || size() > kMaxNodes) return false;
  for (int32_t i = 0; i < size(); ++i) {
    int32_t parent = parents[static_cast<size_t>(i)];
    if (parent < -1 || parent >= i) return false;
  }
  return true;
}

std::vector<uint64_t> DraftTree::masks() const {
  std::vector<uint64_t> masks(token_ids.size());
  for (size_t i = 0; i < masks.size(); ++i) {
    masks[i] = uint64_t{1} << i;
    if (parents[i] >= 0) masks[i] |= masks[static_cast<size_t>(parents[i])];
  }
  return masks;
}

std::vector<int32_t> DraftTree::depths() const {
  std::vector<int32_t> depths(token_ids.size(), 1);
  for (size_t i = 0; i < depths.size(); ++i)
    if (parents[i] >= 0) depths[i] = depths[static_cast<size_t>(parents[i])] + 1;
  return depths;
}

std::vector<int32_t> DraftTree::accepted(std::span<const int32_t> choices) const {
  std::vector<int32_t> path;
  int32_t at = -1;
  for (int32_t i = 0; i < size(); ++i) {  // children come after their parent: one pass is enough
    auto node = static_cast<size_t>(i);
    if (parents[node] != at || token_ids[node] != choices[static_cast<size_t>(at + 1)]) continue;
    path.push_back(i);
    at = i;
  }
  return path;
}

}  // namespace turgo
