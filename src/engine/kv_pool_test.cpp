// The pool's memory and how large it is planned.
#include "engine/kv_pool.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "engine/cache_blocks.h"

namespace turgo {
namespace {

TEST(KvPool, GroupsAreApartAndCopiesAreWhole) {
  KvPool pool({640, 128}, {5, 9});
  pool.commit(0, 5);
  pool.commit(1, 9);
  auto block = [&](size_t g, int32_t i) { return pool.bases()[g] + (g == 0 ? 640 : 128) * i; };
  for (int32_t i = 0; i < 5; ++i) std::memset(block(0, i), i + 1, 640);
  for (int32_t i = 0; i < 9; ++i) std::memset(block(1, i), 100 + i, 128);
  for (int32_t i = 0; i < 4; ++i) pool.copy_or_clear(0, i, -1);  // handed out for the first time: left alone
  EXPECT_EQ(static_cast<int>(*block(0, 3)), 4);
  pool.copy_or_clear(0, 4, 2);
  EXPECT_EQ(std::memcmp(block(0, 4), block(0, 2), 640), 0);
  pool.copy_or_clear(0, 2, -1);
  EXPECT_EQ(static_cast<int>(block(0, 2)[0]), 0);
  EXPECT_EQ(static_cast<int>(block(0, 2)[639]), 0);
  EXPECT_EQ(static_cast<int>(block(0, 3)[0]), 4);
  EXPECT_EQ(static_cast<int>(block(1, 2)[0]), 102);
}

TEST(KvPool, FreshBlocksAreZero) {
  KvPool pool({4096}, {1000});
  pool.commit(0, 700);
  for (int32_t i : {0, 1, 512, 699}) EXPECT_EQ(static_cast<int>(pool.bases()[0][4096 * i + 77]), 0);
}

TEST(KvPool, AddressesThatDoNotExistAreAnError) {
  EXPECT_THROW(KvPool({int64_t{1} << 40}, {1 << 20}), Error);
}

TEST(CachePlan, OneGroupIsPlannedByItsBytes) {
  EXPECT_EQ(plan_num_blocks(0.5, 1000, 8, 1 << 20, 100000), 50);
  EXPECT_EQ(plan_num_blocks(0.5, 1000, 2, 640, 1 << 30), 20);  // no more than max_batch sequences need
  EXPECT_EQ(plan_num_blocks(7, 1000, 8, 1 << 20, 1 << 30), 7);
  EXPECT_THROW(plan_num_blocks(0.5, 1000, 8, 640, 1999), Error);
  for (double bad :
       {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()})
    EXPECT_THROW(plan_num_blocks(bad, 1000, 8, 640, 1 << 30), Error);
}

TEST(CachePlan, WindowsGetWhatTheirSequencesNeed) {
  // 128 sequences of 32,768 tokens: 512 blocks each; a window of 512 with steps of 512 rows: 17 blocks each.
  CachePlan p = plan_cache(0.8, {{1000, 0}, {5000, 512}}, 128, 32768, 512, int64_t{1} << 40);
  EXPECT_EQ(p.num_blocks, 128 * 512);
  EXPECT_EQ(p.window_blocks, std::vector<int32_t>{128 * 17});
  // Little memory: in the same ratio, and what both take stays inside the share.
  p = plan_cache(0.8, {{1000, 0}, {5000, 512}}, 128, 32768, 512, 10'000'000);
  EXPECT_LE(p.num_blocks * 1000 + p.window_blocks[0] * 5000, 8'000'000 + 5000);
  EXPECT_GT(p.num_blocks * 1000 + p.window_blocks[0] * 5000, 7'900'000);
  // Very little: the least that one sequence can be computed with.
  p = plan_cache(20, {{1000, 0}, {5000, 512}}, 128, 32768, 512, 10'000'000);
  EXPECT_EQ(p.num_blocks, 20);
  EXPECT_EQ(p.window_blocks, std::vector<int32_t>{min_window_blocks(512)});
  p = plan_cache(3, {{1000, 0}, {5000, 512}}, 128, 32768, 512, 10'000'000);
  EXPECT_EQ(p.window_blocks, std::vector<int32_t>{3});  // never more than the context
}

}  // namespace
}  // namespace turgo
