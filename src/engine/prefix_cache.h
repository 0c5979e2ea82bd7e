// Finds blocks that already hold a prompt's leading tokens. Entries form chains: an entry is one full block
// of tokens after a parent entry, the root of a chain is a namespace (owner's salt, adapter, KV type, rope
// choice). A hit compares the 64 tokens and the parent's serial number, so by induction the whole prefix; the
// hash only finds candidates. Serial numbers are never used twice: children of an evicted parent are
// unreachable. An entry also knows the window groups' blocks of the same tokens, as long as they are there; a
// hit may end only where every window in front of it is whole.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/cache_blocks.h"

namespace turgo {

// What a chain's key is made from. Blocks with embedding rows (ids < 0) also compare what the rows show.
struct PrefixSource {
  std::string_view name_space;
  std::span<const int32_t> tokens;
  // Content key of the embedding rows inside tokens [begin, end); nullopt = unknown, not cacheable.
  // Null function = the tokens hold none.
  std::function<std::optional<std::string>(int32_t begin, int32_t end)> embedding_key;
};

// Where a sequence's chain ends: how many of its blocks are in the cache, and the last one's serial number.
struct PrefixChain {
  int32_t num_blocks = 0;
  uint64_t serial = 0;
  bool broken = false;  // a block that can not be cached: nothing after it is
};

class PrefixCache {
 public:
  explicit PrefixCache(CacheBlocks& blocks);

  // Blocks for the longest cached prefix of at most max_tokens tokens; `chain` is set to its end.
  PrefixHit match(const PrefixSource& source, int32_t max_tokens, PrefixChain& chain) const;
  // Registers the full blocks of a pinned table that the chain does not hold yet.
  void insert(const PrefixSource& source, const CacheTable& table, PrefixChain& chain);
  // The next block of the chain as a hash: two sequences with the same one are about to compute the same.
  // 0 if there is no further full block.
  uint64_t next_hash(const PrefixSource& source, const PrefixChain& chain) const;
  void forget(int32_t block);

  size_t size() const { return entries_.size(); }
  size_t num_window_blocks(size_t group) const { return window_entries_[group - 1].size(); }
  void count_query(int64_t queried, int64_t hit) { queried_tokens_ += queried, hit_tokens_ += hit; }
  int64_t queried_tokens() const { return queried_tokens_; }
  int64_t hit_tokens() const { return hit_tokens_; }

 private:
  struct Key {
    uint64_t hash = 0, parent = 0;
    std::string extra;  // namespace at the root, embedding content
    std::span<const int32_t> tokens;
    bool cacheable = true;
  };
  struct Entry {
    uint64_t hash, parent, serial;
    std::string extra;
    std::vector<int32_t> tokens;
    std::vector<int32_t> windows;  // block of each window group, or -1
  };

  static Key make_key(const PrefixSource& source, const PrefixChain& chain);
  int32_t find(const Key& key) const;  // block, or -1
  void erase(int32_t block);
  void add_windows(int32_t block, const CacheTable& table, size_t index);

  CacheBlocks& blocks_;
  std::unordered_map<int32_t, Entry> entries_;                        // by block
  std::unordered_multimap<uint64_t, int32_t> candidates_;             // hash -> block
  std::vector<std::unordered_map<int32_t, int32_t>> window_entries_;  // per window group: its block -> entry
  uint64_t next_serial_ = 1;
  int64_t queried_tokens_ = 0, hit_tokens_ = 0;
};

}  // namespace turgo
