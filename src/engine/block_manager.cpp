#include "engine/block_manager.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {
int32_t blocks_for(int32_t tokens) {
  return (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
}
}  // namespace

BlockManager::BlockManager(int32_t num_blocks) : blocks_(static_cast<size_t>(num_blocks)) {
  CHECK(num_blocks > 0, "{} blocks", num_blocks);
  for (int32_t id = num_blocks - 1; id >= 0; --id) free_.push_back(id);
}

void BlockManager::pin_block(int32_t id) {
  Block& b = block(id);
  if (b.pins++ > 0) return;
  CHECK(b.state == State::kCached, "block {}", id);
  cached_.erase(b.place);
  b.state = State::kActive;
}

void BlockManager::unpin_block(int32_t id) {
  Block& b = block(id);
  CHECK(b.pins > 0, "block {}", id);
  if (--b.pins > 0) return;
  b.state = State::kCached;
  b.place = cached_.insert(cached_.end(), id);
  free_if_unused(id);
}

void BlockManager::free_if_unused(int32_t id) {
  Block& b = block(id);
  if (b.pins > 0 || b.holders > 0 || b.registered || b.state == State::kFree) return;
  CHECK(b.state == State::kCached, "block {}", id);
  cached_.erase(b.place);
  b.state = State::kFree;
  b.unique_id = 0;
  free_.push_back(id);
}

int32_t BlockManager::take() {
  int32_t id;
  if (!free_.empty()) {
    id = free_.back();
    free_.pop_back();
  } else if (!cached_.empty()) {
    id = cached_.front();
    cached_.pop_front();
    if (block(id).registered && on_evict_) on_evict_(id);
  } else {
    return -1;
  }
  Block& b = block(id);
  b = Block{};
  b.unique_id = next_unique_id_++;
  b.pins = b.holders = 1;
  b.state = State::kActive;
  return id;
}

// Tail first, so that the tail is the first to be taken.
void BlockManager::drop_tail(BlockTable& table, size_t num_kept) {
  while (table.ids.size() > num_kept) {
    int32_t id = table.ids.back();
    if (id < 0) {  // given up
      table.ids.pop_back();
      table.unique_ids.pop_back();
      continue;
    }
    bool current = block(id).unique_id == table.unique_ids.back();
    CHECK(current || !table.pinned, "block {}", id);
    table.ids.pop_back();
    table.unique_ids.pop_back();
    if (!current) continue;
    // The holder goes first: an unpinned block without holder or prefix entry is free at once.
    --block(id).holders;
    table.pinned ? unpin_block(id) : free_if_unused(id);
  }
  table.first = std::min(table.first, static_cast<int32_t>(num_kept));
  table.num_tokens = std::min(table.num_tokens, static_cast<int32_t>(num_kept) * kKvBlockTokens);
}

void BlockManager::validate(BlockTable& table) {
  CHECK(!table.pinned);
  auto n = static_cast<size_t>(table.first);
  while (n < table.ids.size() && block(table.ids[n]).unique_id == table.unique_ids[n]) ++n;
  drop_tail(table, n);
}

void BlockManager::pin(BlockTable& table) {
  CHECK(!table.pinned);
  for (auto i = static_cast<size_t>(table.first); i < table.ids.size(); ++i) {
    CHECK_EQ(block(table.ids[i]).unique_id, table.unique_ids[i]);
    pin_block(table.ids[i]);
  }
  table.pinned = true;
}

void BlockManager::unpin(BlockTable& table) {
  CHECK(table.pinned);
  // Blocks past the tokens that were computed hold nothing.
  drop_tail(table, static_cast<size_t>(blocks_for(table.num_tokens)));
  for (size_t i = table.ids.size(); i-- > static_cast<size_t>(table.first);) unpin_block(table.ids[i]);
  table.pinned = false;
}

void BlockManager::release(BlockTable& table) {
  drop_tail(table, 0);
  table = BlockTable{};
}

void BlockManager::truncate(BlockTable& table, int32_t num_tokens) {
  if (num_tokens >= table.num_tokens) return;
  drop_tail(table, static_cast<size_t>(blocks_for(num_tokens)));
  table.num_tokens = num_tokens;
}

void BlockManager::drop_head(BlockTable& table, int32_t first) {
  CHECK(table.pinned);
  first = std::min(first, static_cast<int32_t>(table.ids.size()));
  for (; table.first < first; ++table.first) {
    auto i = static_cast<size_t>(table.first);
    --block(table.ids[i]).holders;
    unpin_block(table.ids[i]);
    table.ids[i] = -1;
    table.unique_ids[i] = 0;
  }
}

BlockTable BlockManager::fork(const BlockTable& table) {
  BlockTable copy = table;
  copy.pinned = false;
  auto n = static_cast<size_t>(copy.first);
  while (n < copy.ids.size() && block(copy.ids[n]).unique_id == copy.unique_ids[n])
    ++block(copy.ids[n++]).holders;
  copy.ids.resize(n);
  copy.unique_ids.resize(n);
  copy.num_tokens = std::min(copy.num_tokens, static_cast<int32_t>(n) * kKvBlockTokens);
  return copy;
}

BlockTable BlockManager::adopt(const std::vector<int32_t>& ids, int32_t num_tokens) {
  BlockTable table;
  table.ids = ids;
  table.num_tokens = num_tokens;
  table.pinned = true;
  for (int32_t id : ids) {
    if (id < 0) {
      CHECK_EQ(table.unique_ids.size(), static_cast<size_t>(table.first));
      ++table.first;
      table.unique_ids.push_back(0);
      continue;
    }
    CHECK(block(id).registered, "block {}", id);
    table.unique_ids.push_back(block(id).unique_id);
    ++block(id).holders;
    pin_block(id);
  }
  return table;
}

bool BlockManager::must_copy(const BlockTable& table) const {
  int32_t slot = table.num_tokens % kKvBlockTokens;
  auto index = static_cast<size_t>(table.num_tokens / kKvBlockTokens);
  if (slot == 0 || index >= table.ids.size()) return false;
  const Block& b = block(table.ids[index]);
  return b.registered || (b.holders > 1 && slot < b.filled);
}

int32_t BlockManager::num_missing(const BlockTable& table, int32_t end) const {
  int32_t more = blocks_for(end) - static_cast<int32_t>(table.ids.size());
  return std::max(more, 0) + (must_copy(table) ? 1 : 0);
}

bool BlockManager::extend(BlockTable& table, int32_t end, std::vector<BlockOp>& ops) {
  CHECK(table.pinned);
  if (num_missing(table, end) > num_available()) return false;
  if (must_copy(table)) {
    auto index = static_cast<size_t>(table.num_tokens / kKvBlockTokens);
    int32_t from = table.ids[index], to = take();
    ops.push_back({to, from});
    table.ids[index] = to;
    table.unique_ids[index] = block(to).unique_id;
    --block(from).holders;
    unpin_block(from);
  }
  while (static_cast<int32_t>(table.ids.size()) < blocks_for(end)) {
    int32_t id = take();
    table.ids.push_back(id);
    table.unique_ids.push_back(block(id).unique_id);
    ops.push_back({id});
  }
  for (int32_t t = table.num_tokens; t < end;) {
    Block& b = block(table.ids[static_cast<size_t>(t / kKvBlockTokens)]);
    int32_t begin = t / kKvBlockTokens * kKvBlockTokens, stop = std::min(end, begin + kKvBlockTokens);
    int32_t slots = stop - begin;
    b.filled = b.holders > 1 ? std::max(b.filled, slots) : slots;
    t = stop;
  }
  return true;
}

int32_t BlockManager::num_cached_of(const std::vector<int32_t>& ids) const {
  return static_cast<int32_t>(std::count_if(
      ids.begin(), ids.end(), [&](int32_t id) { return id >= 0 && block(id).state == State::kCached; }));
}

void BlockManager::set_registered(int32_t id, bool registered) {
  block(id).registered = registered;
  if (!registered) free_if_unused(id);
}

void BlockManager::check() const {
  size_t num_cached = 0, num_free = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const Block& b = blocks_[i];
    switch (b.state) {
      case State::kFree:
        ++num_free;
        CHECK(b.pins == 0 && b.holders == 0 && !b.registered, "block {}", i);
        break;
      case State::kCached:
        ++num_cached;
        CHECK(b.pins == 0 && (b.holders > 0 || b.registered), "block {}", i);
        break;
      case State::kActive:
        CHECK(b.pins > 0 && b.holders >= b.pins, "block {}", i);
        break;
    }
  }
  CHECK_EQ(num_free, free_.size());
  CHECK_EQ(num_cached, cached_.size());
}

}  // namespace turgo
