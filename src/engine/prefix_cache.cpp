#include "engine/prefix_cache.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {

uint64_t mix(uint64_t h, uint64_t value) {  // splitmix64's finaliser over a running sum
  h += value + 0x9E3779B97F4A7C15u;
  h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9u;
  h = (h ^ (h >> 27)) * 0x94D049BB133111EBu;
  return h ^ (h >> 31);
}

}  // namespace

PrefixCache::PrefixCache(BlockManager& blocks) : blocks_(blocks) {
  blocks_.set_on_evict([this](int32_t id) { erase(id); });
}

void PrefixCache::erase(int32_t block) {
  auto entry = entries_.find(block);
  CHECK(entry != entries_.end(), "block {}", block);
  auto [begin, end] = candidates_.equal_range(entry->second.hash);
  candidates_.erase(std::find_if(begin, end, [&](const auto& c) { return c.second == block; }));
  entries_.erase(entry);
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

std::vector<int32_t> PrefixCache::match(const PrefixSource& source, int32_t max_tokens,
                                        PrefixChain& chain) const {
  std::vector<int32_t> ids;
  chain = {};
  while ((chain.num_blocks + 1) * kKvBlockTokens <= max_tokens) {
    Key key = make_key(source, chain);
    int32_t id = key.cacheable ? find(key) : -1;
    if (id < 0) break;
    ids.push_back(id);
    chain.serial = entries_.at(id).serial;
    ++chain.num_blocks;
  }
  return ids;
}

void PrefixCache::insert(const PrefixSource& source, const BlockTable& table, PrefixChain& chain) {
  while (!chain.broken && (chain.num_blocks + 1) * kKvBlockTokens <= table.num_tokens) {
    Key key = make_key(source, chain);
    int32_t id = table.ids[static_cast<size_t>(chain.num_blocks)];
    int32_t existing = key.cacheable ? find(key) : -1;
    if (existing >= 0) {
      chain.serial = entries_.at(existing).serial;  // computed twice at the same time: the first one stays
    } else if (!key.cacheable || entries_.count(id)) {
      chain.broken = true;  // unknown embeddings, or the block serves a chain whose parent was evicted
      return;
    } else {
      chain.serial = next_serial_++;
      entries_.emplace(
          id, Entry{key.hash, key.parent, chain.serial, key.extra, {key.tokens.begin(), key.tokens.end()}});
      candidates_.emplace(key.hash, id);
      blocks_.set_registered(id, true);
    }
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
  blocks_.set_registered(block, false);
}

}  // namespace turgo
