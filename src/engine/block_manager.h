// Accounts for the blocks of 64 tokens of one layer group's KV cache. Pure bookkeeping: it never touches
// their memory.
//   A block is active (pinned by a running sequence), cached (content kept for an idle session, a preempted
//   sequence or the prefix cache, but may be taken) or free; the three counts always add up to num_blocks().
//   - Everything that names a block holds its unique id: a new number at each allocation. A table that was
//   not
//     pinned finds out by validate() how much of it is left.
//   - Cached blocks are taken oldest first, and within one table from the tail.
//   - A table may have given up its first blocks: those that a sliding window has left.
//   - A partly filled block that others hold too is copied before anything in it is written again.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <vector>

namespace turgo {

// The blocks of one sequence or idle session, in order.
struct BlockTable {
  std::vector<int32_t> ids;  // the first `first` of them are -1: given up
  std::vector<uint64_t> unique_ids;
  int32_t num_tokens = 0;  // leading tokens whose K and V the blocks hold, or once held
  int32_t first = 0;
  bool pinned = false;

  int32_t num_held() const { return static_cast<int32_t>(ids.size()) - first; }
};

// Work on the blocks' memory, to be done in order before a step writes: copy, or fill with zeros (from < 0),
// so that no stale NaN of a former owner can reach a masked slot.
struct BlockOp {
  int32_t to;
  int32_t from = -1;
  int32_t group = 0;
};

class BlockManager {
 public:
  explicit BlockManager(int32_t num_blocks);

  int32_t num_blocks() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  int32_t num_cached() const { return static_cast<int32_t>(cached_.size()); }
  int32_t num_active() const { return num_blocks() - num_free() - num_cached(); }
  int32_t num_available() const { return num_free() + num_cached(); }

  // Keeps the longest prefix of an unpinned table that was not taken meanwhile.
  void validate(BlockTable& table);
  void pin(BlockTable& table);    // after validate()
  void unpin(BlockTable& table);  // its blocks become cached
  void release(BlockTable& table);
  void truncate(BlockTable& table, int32_t num_tokens);
  // Gives up the blocks in front of index `first` of a pinned table.
  void drop_head(BlockTable& table, int32_t first);
  // A second holder of the same blocks, unpinned.
  BlockTable fork(const BlockTable& table);
  // A pinned table made of registered blocks (prefix hit); leading ids < 0 are given up.
  BlockTable adopt(const std::vector<int32_t>& ids, int32_t num_tokens);

  // Makes room in a pinned table for tokens [table.num_tokens, end), all or nothing; appends to `ops`.
  bool extend(BlockTable& table, int32_t end, std::vector<BlockOp>& ops);
  // Is the block that the next token goes to partly filled with what another holder may rely on?
  bool must_copy(const BlockTable& table) const;
  // Blocks that extend() would take.
  int32_t num_missing(const BlockTable& table, int32_t end) const;
  // How many of these blocks are cached: pinning them takes them out of the available ones.
  int32_t num_cached_of(const std::vector<int32_t>& ids) const;

  // The prefix cache keeps a registered block's content when its last holder leaves; on_evict(id) tells it
  // that the block was taken.
  void set_registered(int32_t id, bool registered);
  void set_on_evict(std::function<void(int32_t)> on_evict) { on_evict_ = std::move(on_evict); }
  uint64_t unique_id(int32_t id) const { return blocks_[static_cast<size_t>(id)].unique_id; }

  // Recounts everything; CHECKs.
  void check() const;

 private:
  enum class State : uint8_t { kFree, kCached, kActive };
  struct Block {
    uint64_t unique_id = 0;
    int32_t pins = 0;     // running sequences
    int32_t holders = 0;  // tables, pinned or not, whose unique id is current
    int32_t filled = 0;   // slots that some holder may rely on
    bool registered = false;
    State state = State::kFree;
    std::list<int32_t>::iterator place;  // in cached_
  };

  Block& block(int32_t id) { return blocks_[static_cast<size_t>(id)]; }
  const Block& block(int32_t id) const { return blocks_[static_cast<size_t>(id)]; }
  int32_t take();  // a pinned block with one holder; -1 if none is available
  void pin_block(int32_t id);
  void unpin_block(int32_t id);
  void free_if_unused(int32_t id);
  void drop_tail(BlockTable& table, size_t num_kept);

  std::vector<Block> blocks_;
  std::vector<int32_t> free_;  // taken from the back: low numbers first, then the last one returned
  std::list<int32_t> cached_;  // front is taken first
  uint64_t next_unique_id_ = 1;
  std::function<void(int32_t)> on_evict_;
};

}  // namespace turgo
