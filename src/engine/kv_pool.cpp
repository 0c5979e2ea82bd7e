#include "engine/kv_pool.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>

#include "core/error.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {

constexpr int64_t kGranule = 1 << 21;  // of reservation and commitment: one huge page

int64_t round_up(int64_t n) {
  return (n + kGranule - 1) / kGranule * kGranule;
}

std::optional<int64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

// Room left in this process's cgroup and those above it (v2), or the memory controller's (v1).
int64_t cgroup_room() {
  int64_t room = std::numeric_limits<int64_t>::max();
  auto consider = [&](const std::string& folder, const char* limit_name, const char* used_name) {
    auto limit = read_number(folder + limit_name), used = read_number(folder + used_name);
    if (limit && used) room = std::min(room, std::max<int64_t>(*limit - *used, 0));
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    bool v2 = controllers.empty();
    if (!v2 && controllers != "memory") continue;
    std::string root = v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (;;) {
      std::string folder = root + (path == "/" ? "" : path) + "/";
      v2 ? consider(folder, "memory.max", "memory.current")
         : consider(folder, "memory.limit_in_bytes", "memory.usage_in_bytes");
      if (path.empty() || path == "/") break;
      path.resize(path.rfind('/'));
    }
  }
  return room;
}

}  // namespace

KvPool::KvPool(std::vector<int64_t> block_bytes, int32_t num_blocks)
    : block_bytes_(std::move(block_bytes)),
      num_blocks_(num_blocks),
      used_(static_cast<size_t>(num_blocks), false) {
  for (int64_t bytes : block_bytes_) {
    int64_t size = round_up(std::max<int64_t>(bytes * num_blocks, 1));
    void* p = mmap(nullptr, static_cast<size_t>(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED) {
      for (size_t g = 0; g < bases_.size(); ++g) munmap(bases_[g], static_cast<size_t>(reserved_[g]));
      fail(ErrorCode::kResourceExhausted,
           "cannot reserve {} MB of addresses for the KV cache ({}); lower cache_max_entry_count or "
           "session_len",
           size >> 20, std::strerror(errno));
    }
    bases_.push_back(static_cast<std::byte*>(p));
    reserved_.push_back(size);
  }
}

KvPool::~KvPool() {
  for (size_t g = 0; g < bases_.size(); ++g) munmap(bases_[g], static_cast<size_t>(reserved_[g]));
}

void KvPool::commit(int32_t count) {
  if (count <= num_committed_) return;
  CHECK(count <= num_blocks_, "{} of {} blocks", count, num_blocks_);
  for (size_t g = 0; g < bases_.size(); ++g) {
    int64_t from = round_up(block_bytes_[g] * num_committed_), to = round_up(block_bytes_[g] * count);
    if (to > from && mprotect(bases_[g] + from, static_cast<size_t>(to - from), PROT_READ | PROT_WRITE) != 0)
      fail(ErrorCode::kResourceExhausted, "no memory for KV block {} of {} ({})", count, num_blocks_,
           std::strerror(errno));
  }
  num_committed_ = count;
}

void KvPool::copy_or_clear(int32_t to, int32_t from) {
  auto i = static_cast<size_t>(to);
  if (from >= 0 || used_[i]) {
    for (size_t g = 0; g < bases_.size(); ++g) {
      auto bytes = static_cast<size_t>(block_bytes_[g]);
      std::byte* target = bases_[g] + block_bytes_[g] * to;
      from < 0 ? std::memset(target, 0, bytes)
               : std::memcpy(target, bases_[g] + block_bytes_[g] * from, bytes);
    }
  }
  used_[i] = true;
}

int64_t available_memory_bytes() {
  int64_t available = std::numeric_limits<int64_t>::max();
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("MemAvailable:")) {
      std::istringstream(line.substr(13)) >> available;
      available *= 1024;
    }
  if (available == std::numeric_limits<int64_t>::max())
    available = static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return std::min(available, cgroup_room());
}

int32_t plan_num_blocks(double setting, int64_t block_bytes, int32_t max_batch_size, int32_t session_len,
                        int64_t available_bytes) {
  if (!(setting > 0) || !std::isfinite(setting))
    fail(ErrorCode::kInvalidArgument,
         "cache_max_entry_count: expected a share of the free memory (0 to 1) or a number of blocks, got {}",
         setting);
  int64_t per_sequence = (int64_t{session_len} + kKvBlockTokens - 1) / kKvBlockTokens;
  int64_t most =
      std::min<int64_t>(per_sequence * std::max(max_batch_size, 1), std::numeric_limits<int32_t>::max() / 2);
  int64_t blocks = most;
  if (setting > 1)
    blocks = static_cast<int64_t>(std::min(setting, static_cast<double>(most)));
  else if (block_bytes > 0)
    blocks = static_cast<int64_t>(setting * static_cast<double>(available_bytes) /
                                  static_cast<double>(block_bytes));
  blocks = std::min(blocks, most);
  if (blocks < 1)
    fail(ErrorCode::kResourceExhausted,
         "one KV block of {} tokens needs {} bytes, {} bytes of memory are free", kKvBlockTokens, block_bytes,
         available_bytes);
  return static_cast<int32_t>(blocks);
}

}  // namespace turgo
