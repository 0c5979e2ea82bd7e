// The blocks of all layer groups (CacheSpec) together. Group 0 keeps a whole context; a window group gives
// blocks up that its sliding window has left, so a long context costs it only its window. A table is usable
// up to n tokens if every group holds what row n looks at; a rewind into what a window gave up leaves
// nothing, and is computed again. Every operation keeps the groups at one number of tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/block_manager.h"

namespace turgo {

// A group of layers that see the last `window` keys, with a pool of its own.
struct WindowGroup {
  int32_t window = 0, num_blocks = 0;
};

// Blocks of one sequence or idle session: group 0's, and those of each window group.
struct CacheTable : BlockTable {
  std::vector<BlockTable> windows;
};

// Registered blocks for a cached prefix, per group, window groups with -1 in front.
struct PrefixHit {
  std::vector<int32_t> ids;
  std::vector<std::vector<int32_t>> windows;
  bool empty() const { return ids.empty(); }
};

// The smallest pool of a window group with which one sequence of any length can be computed.
int32_t min_window_blocks(int32_t window);

class CacheBlocks {
 public:
  // max_rows: of one step.
  CacheBlocks(int32_t num_blocks, const std::vector<WindowGroup>& windows, int32_t max_rows);

  size_t num_groups() const { return groups_.size(); }
  BlockManager& group(size_t g) { return groups_[g]; }
  const BlockManager& group(size_t g) const { return groups_[g]; }
  int32_t window(size_t g) const { return windows_[g]; }  // 0 for group 0
  CacheTable make_table() const;

  // As in BlockManager, on every group.
  void validate(CacheTable& table);
  void pin(CacheTable& table);
  void unpin(CacheTable& table);
  void release(CacheTable& table);
  void truncate(CacheTable& table, int32_t num_tokens);
  CacheTable fork(const CacheTable& table);
  CacheTable adopt(const PrefixHit& hit);
  bool extend(CacheTable& table, int32_t end, std::vector<BlockOp>& ops);

  // Rows after table.num_tokens for which a pinned table finds blocks in every window group.
  int32_t window_room(const CacheTable& table) const;
  // The planned rows were computed: the blocks hold that many tokens.
  void set_num_tokens(CacheTable& table, int32_t num_tokens);
  // Gives up what no later row looks at.
  void leave_behind(CacheTable& table);
  // First block that row n of a sequence looks at.
  int32_t first_block(size_t g, int32_t n) const;

  // Blocks per group that a context of `total` tokens takes out of the available ones, at its peak: from an
  // unpinned valid table, from a prefix hit, or from a running one.
  using Counts = std::vector<int32_t>;
  Counts need(const CacheTable& table, int32_t total) const;
  Counts need(const PrefixHit& hit, int32_t total) const;
  Counts rest(const CacheTable& running, int32_t total) const;
  bool available(const Counts& counts) const;

  // Group 0's counts; check() looks at all.
  int32_t num_blocks() const { return groups_[0].num_blocks(); }
  int32_t num_free() const { return groups_[0].num_free(); }
  int32_t num_cached() const { return groups_[0].num_cached(); }
  int32_t num_active() const { return groups_[0].num_active(); }
  void check() const;

 private:
  BlockTable& table_of(CacheTable& t, size_t g) const { return g == 0 ? t : t.windows[g - 1]; }
  const BlockTable& table_of(const CacheTable& t, size_t g) const { return g == 0 ? t : t.windows[g - 1]; }
  int32_t peak(size_t g, int32_t total) const;
  void settle(CacheTable& table, int32_t num_tokens);

  std::vector<BlockManager> groups_;
  std::vector<int32_t> windows_;  // per group; 0 for group 0
  int32_t max_rows_;
};

}  // namespace turgo
