// The memory behind KV blocks on a CPU: one reserved range of addresses per layer group, made readable and
// writable from its start as higher blocks come into use, resident when first written. A pool sized for 128
// long sequences so costs one short chat only what that chat needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/reserved_memory.h"

namespace turgo {

class KvPool {
 public:
  // Per layer group: bytes of a block and how many. Throws Error{kResourceExhausted} if the addresses can not
  // be reserved.
  KvPool(const std::vector<int64_t>& block_bytes, const std::vector<int32_t>& num_blocks);
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // Blocks [0, count) of a group may be touched. Throws Error{kResourceExhausted}.
  void commit(size_t group, int32_t count);
  // Copies block `from` to `to`, or fills `to` with zeros (from < 0). A block that is committed for the first
  // time is zero already.
  void copy_or_clear(size_t group, int32_t to, int32_t from);

  const std::vector<std::byte*>& bases() const { return bases_; }
  int32_t num_blocks(size_t group) const { return groups_[group].num_blocks; }

 private:
  struct Group {
    int64_t block_bytes = 0;
    int32_t num_blocks = 0, num_committed = 0;
    std::vector<bool> used;  // block was handed out before
  };
  std::vector<Group> groups_;
  std::vector<ReservedMemory> memory_;
  std::vector<std::byte*> bases_;
};

// Bytes that may still be used: the system's available memory, the cgroup's limit considered.
int64_t available_memory_bytes();

// Blocks of a pool: `setting` as EngineConfig::cache_max_entry_count, at most max_batch * session_len tokens.
// Throws Error{kInvalidArgument} for a bad setting, {kResourceExhausted} if not one block fits.
int32_t plan_num_blocks(double setting, int64_t block_bytes, int32_t max_batch_size, int32_t session_len,
                        int64_t available_bytes);

// How large the pools of all layer groups are.
struct CachePlan {
  int32_t num_blocks = 0;              // of group 0
  std::vector<int32_t> window_blocks;  // of each window group
};
struct CacheGroupShape {
  int64_t block_bytes = 0;  // on all ranks
  int32_t window = 0;       // 0: group 0
};
// As plan_num_blocks() over all groups: they share the memory in the ratio that sequences of session_len
// tokens need, at most max_rows of them computed in a step; a window group gets what one sequence needs at
// least. Same errors.
CachePlan plan_cache(double setting, const std::vector<CacheGroupShape>& groups, int32_t max_batch_size,
                     int32_t session_len, int32_t max_rows, int64_t available_bytes);

}  // namespace turgo
