#include "engine/cache_blocks.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {
int32_t blocks_for(int64_t tokens) {
  return static_cast<int32_t>((tokens + kKvBlockTokens - 1) / kKvBlockTokens);
}
}  // namespace

int32_t min_window_blocks(int32_t window) {
  return blocks_for(window) + 1;  // a window that starts inside a block
}

CacheBlocks::CacheBlocks(int32_t num_blocks, const std::vector<WindowGroup>& windows, int32_t max_rows)
    : max_rows_(max_rows) {
  groups_.reserve(windows.size() + 1);
  groups_.emplace_back(num_blocks);
  windows_.push_back(0);
  for (const WindowGroup& w : windows) {
    CHECK(w.window > 0 && w.num_blocks >= std::min(min_window_blocks(w.window), num_blocks),
          "{} blocks for a window of {}", w.num_blocks, w.window);
    groups_.emplace_back(w.num_blocks);
    windows_.push_back(w.window);
  }
}

CacheTable CacheBlocks::make_table() const {
  CacheTable table;
  table.windows.resize(num_groups() - 1);
  return table;
}

int32_t CacheBlocks::first_block(size_t g, int32_t n) const {
  return windows_[g] == 0 ? 0 : std::max(n - windows_[g] + 1, 0) / kKvBlockTokens;
}

// All groups to `num_tokens`, or to nothing where a window has given up what the next row would look at.
void CacheBlocks::settle(CacheTable& table, int32_t num_tokens) {
  for (size_t g = 1; g < num_groups(); ++g)
    if (table_of(table, g).first > first_block(g, num_tokens)) num_tokens = 0;
  for (size_t g = 0; g < num_groups(); ++g) groups_[g].truncate(table_of(table, g), num_tokens);
}

void CacheBlocks::validate(CacheTable& table) {
  table.windows.resize(num_groups() - 1);
  int32_t tokens = INT32_MAX;
  for (size_t g = 0; g < num_groups(); ++g) {
    groups_[g].validate(table_of(table, g));
    tokens = std::min(tokens, table_of(table, g).num_tokens);
  }
  settle(table, tokens);
}

void CacheBlocks::pin(CacheTable& table) {
  for (size_t g = 0; g < num_groups(); ++g) groups_[g].pin(table_of(table, g));
}

void CacheBlocks::unpin(CacheTable& table) {
  for (size_t g = 0; g < num_groups(); ++g) groups_[g].unpin(table_of(table, g));
}

void CacheBlocks::release(CacheTable& table) {
  table.windows.resize(num_groups() - 1);
  for (size_t g = 0; g < num_groups(); ++g) groups_[g].release(table_of(table, g));
}

void CacheBlocks::truncate(CacheTable& table, int32_t num_tokens) {
  table.windows.resize(num_groups() - 1);
  if (num_tokens < table.num_tokens) settle(table, num_tokens);
}

CacheTable CacheBlocks::fork(const CacheTable& table) {
  CacheTable copy = make_table();
  static_cast<BlockTable&>(copy) = groups_[0].fork(table);
  for (size_t g = 1; g < num_groups() && g <= table.windows.size(); ++g)
    copy.windows[g - 1] = groups_[g].fork(table.windows[g - 1]);
  return copy;
}

CacheTable CacheBlocks::adopt(const PrefixHit& hit) {
  auto tokens = static_cast<int32_t>(hit.ids.size()) * kKvBlockTokens;
  CacheTable table = make_table();
  static_cast<BlockTable&>(table) = groups_[0].adopt(hit.ids, tokens);
  for (size_t g = 1; g < num_groups(); ++g)
    table.windows[g - 1] = groups_[g].adopt(hit.windows[g - 1], tokens);
  return table;
}

bool CacheBlocks::extend(CacheTable& table, int32_t end, std::vector<BlockOp>& ops) {
  for (size_t g = 0; g < num_groups(); ++g)
    if (groups_[g].num_missing(table_of(table, g), end) > groups_[g].num_available()) return false;
  for (size_t g = 0; g < num_groups(); ++g) {
    size_t before = ops.size();
    CHECK(groups_[g].extend(table_of(table, g), end, ops));
    for (size_t i = before; i < ops.size(); ++i) ops[i].group = static_cast<int32_t>(g);
  }
  return true;
}

int32_t CacheBlocks::window_room(const CacheTable& table) const {
  int64_t end = INT32_MAX;
  for (size_t g = 1; g < num_groups(); ++g) {
    const BlockTable& t = table_of(table, g);
    int64_t more = groups_[g].num_available() - (groups_[g].must_copy(t) ? 1 : 0);
    end = std::min(end, (static_cast<int64_t>(t.ids.size()) + more) * kKvBlockTokens);
  }
  return static_cast<int32_t>(std::max<int64_t>(end - table.num_tokens, 0));
}

void CacheBlocks::set_num_tokens(CacheTable& table, int32_t num_tokens) {
  for (size_t g = 0; g < num_groups(); ++g) table_of(table, g).num_tokens = num_tokens;
}

void CacheBlocks::leave_behind(CacheTable& table) {
  for (size_t g = 1; g < num_groups(); ++g)
    groups_[g].drop_head(table_of(table, g), first_block(g, table.num_tokens));
}

// Blocks that group g holds at most at once for a context of `total` tokens, computed max_rows at a time.
int32_t CacheBlocks::peak(size_t g, int32_t total) const {
  if (windows_[g] == 0) return blocks_for(total);
  int32_t span = blocks_for(int64_t{windows_[g]} - 1 + max_rows_) + 1;
  return std::min({blocks_for(total), span, groups_[g].num_blocks()});
}

CacheBlocks::Counts CacheBlocks::need(const CacheTable& table, int32_t total) const {
  Counts counts;
  for (size_t g = 0; g < num_groups(); ++g) {
    const BlockTable& t = table_of(table, g);
    counts.push_back(std::max(peak(g, total) - t.num_held(), 0) + (groups_[g].must_copy(t) ? 1 : 0) +
                     groups_[g].num_cached_of(t.ids));
  }
  return counts;
}

CacheBlocks::Counts CacheBlocks::need(const PrefixHit& hit, int32_t total) const {
  Counts counts;
  for (size_t g = 0; g < num_groups(); ++g) {
    const auto& ids = g == 0 ? hit.ids : hit.windows[g - 1];
    auto held =
        static_cast<int32_t>(std::count_if(ids.begin(), ids.end(), [](int32_t id) { return id >= 0; }));
    counts.push_back(std::max(peak(g, total) - held, 0) + groups_[g].num_cached_of(ids));
  }
  return counts;
}

CacheBlocks::Counts CacheBlocks::rest(const CacheTable& running, int32_t total) const {
  Counts counts;
  for (size_t g = 0; g < num_groups(); ++g) {
    const BlockTable& t = table_of(running, g);
    counts.push_back(std::max(peak(g, total) - t.num_held(), 0) + (groups_[g].must_copy(t) ? 1 : 0));
  }
  return counts;
}

bool CacheBlocks::available(const Counts& counts) const {
  for (size_t g = 0; g < num_groups(); ++g)
    if (counts[g] > groups_[g].num_available()) return false;
  return true;
}

void CacheBlocks::check() const {
  for (const BlockManager& g : groups_) g.check();
}

}  // namespace turgo
