// The counts of blocks at every moment, and who may write into one.
#include "engine/block_manager.h"

#include <gtest/gtest.h>

#include <random>

namespace turgo {
namespace {

using Ops = std::vector<BlockOp>;

BlockTable pinned_table(BlockManager& m, int32_t tokens) {
  BlockTable t;
  t.pinned = true;
  Ops ops;
  EXPECT_TRUE(m.extend(t, tokens, ops));
  t.num_tokens = tokens;
  return t;
}

void expect_counts(const BlockManager& m, int32_t active, int32_t cached, int32_t free) {
  EXPECT_EQ(m.num_active(), active);
  EXPECT_EQ(m.num_cached(), cached);
  EXPECT_EQ(m.num_free(), free);
  m.check();
}

TEST(BlockManager, CountsFollowTheLifeOfATable) {
  BlockManager m(4);
  BlockTable t = pinned_table(m, 130);
  expect_counts(m, 3, 0, 1);
  m.unpin(t);
  expect_counts(m, 0, 3, 1);
  m.validate(t);
  EXPECT_EQ(t.num_tokens, 130);
  m.pin(t);
  m.truncate(t, 64);
  expect_counts(m, 1, 0, 3);
  EXPECT_EQ(t.num_tokens, 64);
  m.release(t);
  expect_counts(m, 0, 0, 4);
}

TEST(BlockManager, ExtendIsAllOrNothing) {
  BlockManager m(3);
  BlockTable a = pinned_table(m, 100), b;
  b.pinned = true;
  Ops ops;
  EXPECT_EQ(m.num_missing(b, 65), 2);
  EXPECT_FALSE(m.extend(b, 65, ops));
  EXPECT_TRUE(ops.empty() && b.ids.empty());
  EXPECT_TRUE(m.extend(b, 64, ops));
  ASSERT_EQ(ops.size(), 1u);
  EXPECT_EQ(ops[0].from, -1);  // to be cleared
  m.release(a), m.release(b);
  expect_counts(m, 0, 0, 3);
}

TEST(BlockManager, TheTailOfTheOldestIdleTableGoesFirst) {
  BlockManager m(4);
  BlockTable old = pinned_table(m, 128), young = pinned_table(m, 128);
  m.unpin(old);
  m.unpin(young);
  BlockTable t = pinned_table(m, 64);
  m.validate(old);
  m.validate(young);
  EXPECT_EQ(old.num_tokens, 64);
  EXPECT_EQ(young.num_tokens, 128);
  BlockTable u = pinned_table(m, 64);
  m.validate(old);
  EXPECT_EQ(old.num_tokens, 0);
  EXPECT_TRUE(old.ids.empty());
  m.validate(young);
  EXPECT_EQ(young.num_tokens, 128);
  expect_counts(m, 2, 2, 0);
}

TEST(BlockManager, ANewOwnerOfABlockIsAnotherBlock) {
  BlockManager m(1);
  BlockTable t = pinned_table(m, 64);
  uint64_t id = m.unique_id(0);
  m.unpin(t);
  BlockTable u = pinned_table(m, 10);
  EXPECT_EQ(u.ids[0], 0);
  EXPECT_NE(m.unique_id(0), id);
  m.validate(t);
  EXPECT_EQ(t.num_tokens, 0);
  m.release(t);  // gives nothing of u back
  expect_counts(m, 1, 0, 0);
}

TEST(BlockManager, ASharedTailIsCopiedBeforeItIsWritten) {
  BlockManager m(6);
  BlockTable a = pinned_table(m, 100);
  m.unpin(a);
  BlockTable b = m.fork(a), c = m.fork(a);
  for (BlockTable* t : {&a, &b, &c}) m.pin(*t);
  expect_counts(m, 2, 0, 4);
  Ops ops;
  EXPECT_FALSE(m.must_copy(b));  // the first to go on writes behind what the others look at
  ASSERT_TRUE(m.extend(b, 101, ops));
  EXPECT_TRUE(ops.empty());
  b.num_tokens = 101;
  for (BlockTable* t : {&a, &c}) {
    EXPECT_TRUE(m.must_copy(*t));
    EXPECT_EQ(m.num_missing(*t, 101), 1);
    ops.clear();
    ASSERT_TRUE(m.extend(*t, 101, ops));
    ASSERT_EQ(ops.size(), 1u);
    EXPECT_EQ(ops[0].from, b.ids[1]);
    EXPECT_EQ(ops[0].to, t->ids[1]);
    EXPECT_EQ(t->ids[0], b.ids[0]);
    t->num_tokens = 101;
    EXPECT_FALSE(m.must_copy(*t));
  }
  expect_counts(m, 4, 0, 2);
  for (BlockTable* t : {&a, &b, &c}) m.release(*t);
  expect_counts(m, 0, 0, 6);
}

TEST(BlockManager, RegisteredBlocksOutliveTheirTableUntilTheyAreTaken) {
  BlockManager m(2);
  std::vector<int32_t> evicted;
  m.set_on_evict([&](int32_t id) { evicted.push_back(id); });
  BlockTable t = pinned_table(m, 128);
  m.set_registered(t.ids[0], true);
  int32_t first = t.ids[0];
  m.release(t);
  expect_counts(m, 0, 1, 1);
  BlockTable hit = m.adopt({first}, 64);
  expect_counts(m, 1, 0, 1);
  EXPECT_EQ(m.num_cached_of({first}), 0);
  m.release(hit);
  BlockTable u = pinned_table(m, 128);
  EXPECT_EQ(evicted, std::vector<int32_t>{first});
  m.release(u);
  m.check();
}

TEST(BlockManager, TheHeadCanBeGivenUp) {
  BlockManager m(6);
  BlockTable t = pinned_table(m, 300);
  m.drop_head(t, 3);
  expect_counts(m, 2, 0, 4);
  EXPECT_EQ(t.ids[2], -1);
  m.unpin(t);
  BlockTable f = m.fork(t);
  m.pin(f);
  expect_counts(m, 2, 0, 4);
  m.unpin(f);
  m.truncate(t, 200);  // into its fourth block
  EXPECT_EQ(t.num_held(), 1);
  m.truncate(t, 100);  // into what it gave up
  EXPECT_EQ(t.num_held(), 0);
  m.validate(t);
  m.release(t), m.release(f);
  expect_counts(m, 0, 0, 6);
}

TEST(BlockManager, BalancesOverRandomLives) {
  std::mt19937 random(7);
  BlockManager m(20);
  std::vector<BlockTable> tables(8);
  for (int i = 0; i < 20000; ++i) {
    BlockTable& t = tables[random() % 8];
    Ops ops;
    switch (random() % 6) {
      case 0:
      case 1: {
        if (!t.pinned) m.validate(t), m.pin(t);
        int32_t end = t.num_tokens + 1 + static_cast<int32_t>(random() % 100);
        if (m.extend(t, end, ops)) t.num_tokens = end;
        break;
      }
      case 2:
        if (t.pinned) m.unpin(t);
        break;
      case 3:
        m.truncate(t, static_cast<int32_t>(random() % 300));
        break;
      case 4:
        if (random() % 4 == 0) m.release(t);
        break;
      case 5: {
        BlockTable& u = tables[random() % 8];
        if (&u == &t || t.pinned) break;
        m.release(u);
        u = m.fork(t);
        break;
      }
    }
    m.check();
  }
  for (BlockTable& t : tables) m.release(t);
  expect_counts(m, 0, 0, 20);
}

}  // namespace
}  // namespace turgo
