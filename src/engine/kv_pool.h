// The memory behind KV blocks on a CPU: one reserved range of addresses per layer group, made readable and
// writable from its start as higher blocks come into use, resident when first written. A pool sized for 128
// long sequences so costs one short chat only what that chat needs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace turgo {

class KvPool {
 public:
  // block_bytes: per layer group. Throws Error{kResourceExhausted} if the addresses can not be reserved.
  KvPool(std::vector<int64_t> block_bytes, int32_t num_blocks);
  ~KvPool();
  KvPool(const KvPool&) = delete;
  KvPool& operator=(const KvPool&) = delete;

  // Blocks [0, count) may be touched. Throws Error{kResourceExhausted}.
  void commit(int32_t count);
  // Copies block `from` to `to` in every group, or fills `to` with zeros (from < 0). A block that is
  // committed for the first time is zero already.
  void copy_or_clear(int32_t to, int32_t from);

  const std::vector<std::byte*>& bases() const { return bases_; }
  int32_t num_blocks() const { return num_blocks_; }

 private:
  std::vector<int64_t> block_bytes_;
  int32_t num_blocks_, num_committed_ = 0;
  std::vector<std::byte*> bases_;
  std::vector<int64_t> reserved_;  // bytes per group
  std::vector<bool> used_;         // block was handed out before
};

// Bytes that may still be used: the system's available memory, the cgroup's limit considered.
int64_t available_memory_bytes();

// Blocks of a pool: `setting` as EngineConfig::cache_max_entry_count, at most max_batch * session_len tokens.
// Throws Error{kInvalidArgument} for a bad setting, {kResourceExhausted} if not one block fits.
int32_t plan_num_blocks(double setting, int64_t block_bytes, int32_t max_batch_size, int32_t session_len,
                        int64_t available_bytes);

}  // namespace turgo
