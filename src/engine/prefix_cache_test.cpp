// Hits compare tokens, owners and images, never hashes alone.
#include "engine/prefix_cache.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

std::vector<int32_t> sequence(int32_t n, int32_t seed) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < n; ++i) ids.push_back((i * 7 + seed * 13) % 97);
  return ids;
}

PrefixSource source(const std::vector<int32_t>& ids, std::string_view owner = "o") {
  return {owner, ids, nullptr};
}

struct Cache {
  explicit Cache(int32_t num_blocks) : blocks(num_blocks, {}, 64), prefix(blocks) {}
  CacheTable compute(const PrefixSource& s, PrefixChain* chain = nullptr) {
    CacheTable t = blocks.make_table();
    t.pinned = true;
    std::vector<BlockOp> ops;
    EXPECT_TRUE(blocks.extend(t, static_cast<int32_t>(s.tokens.size()), ops));
    blocks.set_num_tokens(t, static_cast<int32_t>(s.tokens.size()));
    PrefixChain own;
    prefix.insert(s, t, chain ? *chain : own);
    return t;
  }
  int32_t hit(const PrefixSource& s, int32_t most = 1 << 20) {
    PrefixChain chain;
    most = std::min(most, static_cast<int32_t>(s.tokens.size()));
    auto found = prefix.match(s, most, chain);
    EXPECT_EQ(static_cast<int32_t>(found.ids.size()), chain.num_blocks);
    return chain.num_blocks;
  }
  CacheBlocks blocks;
  PrefixCache prefix;
};

TEST(PrefixCache, FullBlocksOfTheSameTokensHit) {
  Cache c(10);
  auto ids = sequence(200, 1);
  CacheTable t = c.compute(source(ids));
  EXPECT_EQ(c.hit(source(ids)), 3);
  EXPECT_EQ(c.hit(source(ids), 191), 2);
  auto other = ids;
  other[70] += 1;
  EXPECT_EQ(c.hit(source(other)), 1);
  other = ids;
  other[0] += 1;
  EXPECT_EQ(c.hit(source(other)), 0);
  EXPECT_EQ(c.hit(source(ids, "p")), 0);  // another owner
  c.blocks.release(t);
  EXPECT_EQ(c.hit(source(ids)), 3);
  EXPECT_EQ(c.blocks.num_cached(), 3);
}

TEST(PrefixCache, TheSameBlockAfterAnotherPrefixIsAnotherEntry) {
  Cache c(10);
  auto a = sequence(64, 1), b = sequence(64, 2), tail = sequence(64, 3);
  auto at = a, bt = b;
  at.insert(at.end(), tail.begin(), tail.end());
  bt.insert(bt.end(), tail.begin(), tail.end());
  CacheTable t = c.compute(source(at));
  EXPECT_EQ(c.hit(source(bt)), 0);
  CacheTable u = c.compute(source(bt));
  EXPECT_EQ(c.prefix.size(), 4u);
  PrefixChain x, y;
  EXPECT_NE(c.prefix.match(source(at), 128, x).ids[1], c.prefix.match(source(bt), 128, y).ids[1]);
  c.blocks.release(t), c.blocks.release(u);
}

TEST(PrefixCache, ChildrenOfATakenBlockAreUnreachable) {
  Cache c(3);
  auto ids = sequence(192, 1);
  CacheTable t = c.compute(source(ids));
  int32_t first = t.ids[0];
  c.blocks.release(t);
  c.prefix.forget(first);
  EXPECT_EQ(c.hit(source(ids)), 0);
  EXPECT_EQ(c.prefix.size(), 2u);
  // Its first block computed anew gets a new number: the old children stay lost, though the tokens agree.
  auto head = sequence(64, 1);
  CacheTable u = c.compute(source(head));
  EXPECT_EQ(c.hit(source(ids)), 1);
  c.blocks.release(u);
  c.blocks.check();
}

TEST(PrefixCache, EvictionForgetsTheEntry) {
  Cache c(2);
  auto ids = sequence(128, 1), other = sequence(64, 9);
  CacheTable t = c.compute(source(ids));
  c.blocks.release(t);
  CacheTable u = c.compute(source(other));
  EXPECT_EQ(c.prefix.size(), 2u);
  EXPECT_EQ(c.hit(source(other)), 1);
  EXPECT_EQ(c.hit(source(ids)), 1);  // the tail was taken
  c.blocks.release(u);
}

TEST(PrefixCache, ImagesAreTheirContent) {
  Cache c(8);
  std::vector<int32_t> ids(64, -1);
  std::optional<std::string> key = "cat";
  PrefixSource s{"o", ids, [&](int32_t, int32_t) { return key; }};
  CacheTable t = c.compute(s);
  EXPECT_EQ(c.hit(s), 1);
  key = "dog";
  EXPECT_EQ(c.hit(s), 0);
  key = std::nullopt;  // unknown
  EXPECT_EQ(c.hit(s), 0);
  PrefixChain chain;
  CacheTable u = c.compute(s, &chain);
  EXPECT_TRUE(chain.broken);
  EXPECT_EQ(c.prefix.size(), 1u);
  EXPECT_EQ(c.prefix.next_hash(s, chain), 0u);
  c.blocks.release(t), c.blocks.release(u);
}

TEST(PrefixCache, NextHashTellsWhatIsAboutToBeComputed) {
  Cache c(8);
  auto a = sequence(130, 1), b = a;
  b[129] += 1;
  PrefixChain none;
  EXPECT_EQ(c.prefix.next_hash(source(a), none), c.prefix.next_hash(source(b), none));
  EXPECT_NE(c.prefix.next_hash(source(a), none), c.prefix.next_hash(source(a, "p"), none));
  auto few = sequence(63, 1);
  EXPECT_EQ(c.prefix.next_hash(source(few), none), 0u);
}

}  // namespace
}  // namespace turgo
