#include "serve/proxy/affinity.h"

namespace turgo {

NodeId AffinityMap::find(uint64_t key) const {
  auto found = by_key_.find(key);
  return found == by_key_.end() ? 0 : found->second->second;
}

void AffinityMap::set(uint64_t key, NodeId node) {
  if (auto found = by_key_.find(key); found != by_key_.end()) {
    found->second->second = node;
    entries_.splice(entries_.begin(), entries_, found->second);
    return;
  }
  if (entries_.size() >= capacity_) {
    by_key_.erase(entries_.back().first);
    entries_.pop_back();
  }
  entries_.emplace_front(key, node);
  by_key_[key] = entries_.begin();
}

void AffinityMap::erase(uint64_t key) {
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return;
  entries_.erase(found->second);
  by_key_.erase(found);
}

void AffinityMap::erase_node(NodeId node) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    auto next = std::next(it);
    if (it->second == node) {
      by_key_.erase(it->first);
      entries_.erase(it);
    }
    it = next;
  }
}

std::pair<size_t, NodeId> AffinityMap::find_longest(std::span<const uint64_t> chain) const {
  for (size_t n = chain.size(); n > 0; --n)
    if (NodeId node = find(chain[n - 1])) return {n, node};
  return {0, 0};
}

void AffinityMap::set_chain(std::span<const uint64_t> chain, NodeId node,
                            const std::function<bool(NodeId)>& keeps) {
  for (uint64_t key : chain) {
    NodeId old = find(key);
    set(key, old && keeps(old) ? old : node);
  }
}

}  // namespace turgo
