// Which node saw a key last: an LRU map of bounded size. Keys are 64-bit hashes of a session's name or of a
// prompt's beginnings (request_facts.h); two keys that collide share a node, which costs a cache miss.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace turgo {

using NodeId = uint32_t;  // 0 = none; never used twice

class AffinityMap {
 public:
  explicit AffinityMap(size_t capacity) : capacity_(capacity) {}

  NodeId find(uint64_t key) const;
  void set(uint64_t key, NodeId node);  // and makes it the youngest
  void erase(uint64_t key);
  void erase_node(NodeId node);
  size_t size() const { return entries_.size(); }
  const std::list<std::pair<uint64_t, NodeId>>& entries() const { return entries_; }  // youngest first

  // The longest beginning that is known: how many of `chain` it covers (0 = none) and its node.
  std::pair<size_t, NodeId> find_longest(std::span<const uint64_t> chain) const;
  // `node` holds all beginnings now. One that another node has stays with that one if `keeps` says so: the
  // shared system prompt of a session that moved keeps its home.
  void set_chain(std::span<const uint64_t> chain, NodeId node, const std::function<bool(NodeId)>& keeps);

 private:
  using Entries = std::list<std::pair<uint64_t, NodeId>>;
  size_t capacity_;
  Entries entries_;
  std::unordered_map<uint64_t, Entries::iterator> by_key_;
};

}  // namespace turgo
