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
#include "core/reserved_memory.h"
#include "engine/cache_blocks.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {

constexpr int64_t kGranule = ReservedMemory::kHugePage;  // of reservation and commitment

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

KvPool::KvPool(const std::vector<int64_t>& block_bytes, const std::vector<int32_t>& num_blocks) {
  CHECK_EQ(block_bytes.size(), num_blocks.size());
  for (size_t g = 0; g < block_bytes.size(); ++g) {
    int64_t size = round_up(std::max<int64_t>(block_bytes[g] * num_blocks[g], 1));
    ReservedMemory memory(size, true);
    if (!memory.data())
      fail(ErrorCode::kResourceExhausted,
           "cannot reserve {} MB of addresses for the KV cache ({}); lower cache_max_entry_count or "
           "session_len",
           size >> 20, std::strerror(errno));
    bases_.push_back(memory.data());
    memory_.push_back(std::move(memory));
    groups_.push_back(
        {block_bytes[g], num_blocks[g], 0, std::vector<bool>(static_cast<size_t>(num_blocks[g]), false)});
  }
}

void KvPool::commit(size_t group, int32_t count) {
  Group& g = groups_[group];
  if (count <= g.num_committed) return;
  CHECK(count <= g.num_blocks, "{} of {} blocks", count, g.num_blocks);
  int64_t from = round_up(g.block_bytes * g.num_committed), to = round_up(g.block_bytes * count);
  if (to > from &&
      mprotect(bases_[group] + from, static_cast<size_t>(to - from), PROT_READ | PROT_WRITE) != 0)
    fail(ErrorCode::kResourceExhausted, "no memory for KV block {} of {} ({})", count, g.num_blocks,
         std::strerror(errno));
  g.num_committed = count;
}

void KvPool::copy_or_clear(size_t group, int32_t to, int32_t from) {
  Group& g = groups_[group];
  auto i = static_cast<size_t>(to), bytes = static_cast<size_t>(g.block_bytes);
  if (from >= 0 || g.used[i]) {
    std::byte* target = bases_[group] + g.block_bytes * to;
    from < 0 ? std::memset(target, 0, bytes)
             : std::memcpy(target, bases_[group] + g.block_bytes * from, bytes);
  }
  g.used[i] = true;
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

CachePlan plan_cache(double setting, const std::vector<CacheGroupShape>& groups, int32_t max_batch_size,
                     int32_t session_len, int32_t max_rows, int64_t available_bytes) {
  CHECK(!groups.empty() && groups[0].window == 0);
  // Blocks that a sequence of session_len tokens holds in a window group at its peak.
  auto blocks_of = [](int64_t tokens) { return (tokens + kKvBlockTokens - 1) / kKvBlockTokens; };
  int64_t whole = std::max<int64_t>(blocks_of(session_len), 1);
  auto peak = [&](int32_t window) { return std::min(blocks_of(int64_t{window} - 1 + max_rows) + 1, whole); };
  // What group 0's block costs with the share of the window groups that goes with it.
  double bytes = static_cast<double>(groups[0].block_bytes);
  for (size_t g = 1; g < groups.size(); ++g)
    bytes += static_cast<double>(groups[g].block_bytes) * static_cast<double>(peak(groups[g].window)) /
             static_cast<double>(whole);
  CachePlan plan;
  plan.num_blocks = plan_num_blocks(setting, static_cast<int64_t>(std::ceil(bytes)), max_batch_size,
                                    session_len, available_bytes);
  for (size_t g = 1; g < groups.size(); ++g) {
    int64_t least = std::min<int64_t>(min_window_blocks(groups[g].window), plan.num_blocks);
    int64_t share = (plan.num_blocks * peak(groups[g].window) + whole - 1) / whole;
    plan.window_blocks.push_back(
        static_cast<int32_t>(std::clamp<int64_t>(share, least, std::max<int64_t>(plan.num_blocks, least))));
  }
  return plan;
}

}  // namespace turgo
