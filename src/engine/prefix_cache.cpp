#include "engine/prefix_cache.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {

int32_t block_tokens(size_t blocks) {
  return static_cast<int32_t>(blocks) * kKvBlockTokens;
}

uint64_t mix(uint64_t h, uint64_t value) {  // splitmix64's finaliser over a running sum
  h += value + 0x9E3779B97F4A7C15u;
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
  h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
  return h ^ (h >> 31);
}

}  // namespace

PrefixCache::PrefixCache(CacheBlocks& blocks) : blocks_(blocks), window_entries_(blocks.num_groups() - 1) {
  blocks_.group(0).set_on_evict([this](int32_t id) { erase(id); });
  for (size_t w = 0; w < window_entries_.size(); ++w)
    blocks_.group(w + 1).set_on_evict([this, w](int32_t id) {
      auto it = window_entries_[w].find(id);
      CHECK(it != window_entries_[w].end(), "block {}", id);
      entries_.at(it->second).windows[w] = -1;
      window_entries_[w].erase(it);
    });
}

void PrefixCache::erase(int32_t block) {
  auto entry = entries_.find(block);
  CHECK(entry != entries_.end(), "block {}", block);
  auto [begin, end] = candidates_.equal_range(entry->second.hash);
  candidates_.erase(std::find_if(begin, end, [&](const auto& c) { return c.second == block; }));
  std::vector<int32_t> windows = std::move(entry->second.windows);
  entries_.erase(entry);
  for (size_t w = 0; w < windows.size(); ++w) {
    if (windows[w] < 0) continue;
    window_entries_[w].erase(windows[w]);
    blocks_.group(w + 1).set_registered(windows[w], false);
  }
}

PrefixCache::Key PrefixCache::make_key(const PrefixSource& source, const PrefixChain& chain) {
  Key key;
  int32_t begin = chain.num_blocks * kKvBlockTokens;
  key.tokens = source.tokens.subspan(static_cast<size_t>(begin), kKvBlockTokens);
  key.parent = chain.serial;
  if (chain.num_blocks == 0) key.extra = source.name_space;
  if (source.embedding_key &&
      std::any_of(key.tokens.begin(), key.tokens.end(), [](int32_t t) { return t < 0; })) {
    auto rows = source.embedding_key(begin, begin + kKvBlockTokens);
    key.cacheable = rows.has_value();
    if (rows) key.extra += '\x1f' + *rows;
  }
  key.hash = mix(chain.num_blocks == 0, key.parent);
  for (int32_t t : key.tokens) key.hash = mix(key.hash, static_cast<uint32_t>(t));
  for (char c : key.extra) key.hash = mix(key.hash, static_cast<unsigned char>(c));
  return key;
}

int32_t PrefixCache::find(const Key& key) const {
  auto [begin, end] = candidates_.equal_range(key.hash);
  for (auto it = begin; it != end; ++it) {
    const Entry& e = entries_.at(it->second);
    if (e.parent == key.parent && e.extra == key.extra &&
        std::equal(key.tokens.begin(), key.tokens.end(), e.tokens.begin(), e.tokens.end()))
      return it->second;
  }
  return -1;
}

PrefixHit PrefixCache::match(const PrefixSource& source, int32_t max_tokens, PrefixChain& chain) const {
  std::vector<const Entry*> found;
  PrefixHit hit;
  PrefixChain next;
  while ((next.num_blocks + 1) * kKvBlockTokens <= max_tokens) {
    Key key = make_key(source, next);
    int32_t id = key.cacheable ? find(key) : -1;
    if (id < 0) break;
    hit.ids.push_back(id);
    found.push_back(&entries_.at(id));
    next.serial = found.back()->serial;
    ++next.num_blocks;
  }
  // Back to where the windows of all groups are whole: a missing block ends every hit whose window holds it.
  size_t n = found.size();
  for (bool again = true; again && n > 0;) {
    again = false;
    for (size_t w = 0; w < window_entries_.size() && !again; ++w)
      for (size_t b = n; b-- > static_cast<size_t>(blocks_.first_block(w + 1, block_tokens(n)));)
        if (found[b]->windows[w] < 0) {
          n = b;
          again = true;
          break;
        }
  }
  chain = {static_cast<int32_t>(n), n > 0 ? found[n - 1]->serial : 0, false};
  hit.ids.resize(n);
  for (size_t w = 0; w < window_entries_.size(); ++w) {
    std::vector<int32_t> ids(n, -1);
    for (auto b = static_cast<size_t>(blocks_.first_block(w + 1, block_tokens(n))); b < n; ++b)
      ids[b] = found[b]->windows[w];
    hit.windows.push_back(std::move(ids));
  }
  return hit;
}

// The entry's window blocks that are not cached yet, from a table that has them.
void PrefixCache::add_windows(int32_t block, const CacheTable& table, size_t index) {
  Entry& e = entries_.at(block);
  for (size_t w = 0; w < window_entries_.size(); ++w) {
    int32_t id = table.windows[w].ids[index];
    if (id < 0 || e.windows[w] >= 0 || window_entries_[w].count(id)) continue;
    e.windows[w] = id;
    window_entries_[w].emplace(id, block);
    blocks_.group(w + 1).set_registered(id, true);
  }
}

void PrefixCache::insert(const PrefixSource& source, const CacheTable& table, PrefixChain& chain) {
  while (!chain.broken && (chain.num_blocks + 1) * kKvBlockTokens <= table.num_tokens) {
    Key key = make_key(source, chain);
    auto index = static_cast<size_t>(chain.num_blocks);
    int32_t id = table.ids[index], existing = key.cacheable ? find(key) : -1;
    if (existing >= 0) {
      chain.serial = entries_.at(existing).serial;  // computed twice at the same time: the first one stays
      id = existing;
    } else if (!key.cacheable || entries_.count(id)) {
      chain.broken = true;  // unknown embeddings, or the block serves a chain whose parent was evicted
      return;
    } else {
      chain.serial = next_serial_++;
      Entry entry{key.hash, key.parent, chain.serial, key.extra, {key.tokens.begin(), key.tokens.end()}, {}};
      entry.windows.assign(window_entries_.size(), -1);
      entries_.emplace(id, std::move(entry));
      candidates_.emplace(key.hash, id);
      blocks_.group(0).set_registered(id, true);
    }
    add_windows(id, table, index);
    ++chain.num_blocks;
  }
}

uint64_t PrefixCache::next_hash(const PrefixSource& source, const PrefixChain& chain) const {
  if (chain.broken || (static_cast<size_t>(chain.num_blocks) + 1) * kKvBlockTokens > source.tokens.size())
    return 0;
  Key key = make_key(source, chain);
  return key.cacheable ? key.hash | 1 : 0;
}

void PrefixCache::forget(int32_t block) {
  if (!entries_.count(block)) return;
  erase(block);
  blocks_.group(0).set_registered(block, false);
}

}  // namespace turgo
