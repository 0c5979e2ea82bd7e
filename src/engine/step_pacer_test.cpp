// The cost model against machines with known costs.
#include "engine/step_pacer.h"

#include <gtest/gtest.h>

#include <random>

namespace turgo {
namespace {

struct Machine {
  double fixed, decode, row, key;
  double seconds(const StepWork& w) const {
    return fixed + decode * w.num_decodes + row * w.prefill_rows +
           key * static_cast<double>(w.decode_keys + w.prefill_keys);
  }
};

StepWork work(int32_t decodes, int32_t rows, int32_t first = 0) {
  return {decodes, static_cast<double>(rows), int64_t{decodes} * 300, StepPacer::keys_of(first, rows)};
}

TEST(StepPacer, FindsTheChunkThatFillsTheBudget) {
  for (Machine m :
       {Machine{0.01, 0.001, 0.002, 0}, Machine{0.02, 0, 0.0005, 2e-7}, Machine{0.001, 1e-5, 1e-5, 1e-8}}) {
    StepPacer pacer(2.0);
    std::mt19937 random(1);
    for (int i = 0; i < 60; ++i) {
      StepWork w =
          i % 3 == 0
              ? work(0, 1 + static_cast<int32_t>(random() % 200), static_cast<int32_t>(random() % 2000))
          : i % 3 == 1 ? work(1 + static_cast<int32_t>(random() % 8), 0)
                       : work(1 + static_cast<int32_t>(random() % 8), 1 + static_cast<int32_t>(random() % 60),
                              static_cast<int32_t>(random() % 2000));
      pacer.observe(w, m.seconds(w) * (1 + 0.02 * static_cast<double>(random() % 100) / 100));
    }
    for (int32_t decodes : {1, 4, 8})
      for (int32_t first : {0, 1000, 4000}) {
        double alone = m.seconds(work(decodes, 0));
        int32_t rows = pacer.rows_within(pacer.prefill_budget(decodes, decodes * 300), first);
        double whole = m.seconds(work(decodes, rows, first));
        EXPECT_LT(whole, 2.3 * alone) << rows;
        EXPECT_GT(m.seconds(work(decodes, rows + 1, first)), 1.7 * alone) << rows;
      }
  }
}

TEST(StepPacer, StartsCarefully) {
  StepPacer pacer(2);
  EXPECT_EQ(pacer.prefill_budget(0, 0), StepPacer::kUnbounded);  // nobody waits
  EXPECT_TRUE(pacer.must_measure(1, 300));
  EXPECT_FALSE(pacer.must_measure(0, 0));
  pacer.observe(work(1, 0), 0.01);
  EXPECT_FALSE(pacer.must_measure(1, 300));
  EXPECT_LE(pacer.rows_within(pacer.prefill_budget(1, 300), 0), 16);
  // A prompt of 10 tokens alone: its time may all have been the rows'.
  pacer.observe(work(0, 10), 0.01);
  EXPECT_LE(pacer.rows_within(pacer.prefill_budget(1, 300), 0), 10);
  EXPECT_GE(pacer.rows_within(pacer.prefill_budget(1, 300), 0), 1);
}

TEST(StepPacer, MeasuresDecodesThatHaveGrown) {
  StepPacer pacer(2);
  pacer.observe({1, 0, 1600, 0}, 0.01);
  EXPECT_FALSE(pacer.must_measure(1, 1732));
  EXPECT_TRUE(pacer.must_measure(1, 1733));
  pacer.observe({1, 4, 1733, 4000}, 0.02);  // tells of both together only
  EXPECT_TRUE(pacer.must_measure(1, 1734));
  pacer.observe({1, 0, 1734, 0}, 0.01);
  EXPECT_FALSE(pacer.must_measure(1, 1735));
}

// 10 ms for one decode and 1 ms per 1,024 keys: what it grows by while a prompt is read is the prompt's loss.
TEST(StepPacer, GrowthIsTakenFromThePromptsShare) {
  StepPacer pacer(2);
  for (int64_t keys = 0; keys < 100'000; keys += 512)
    pacer.observe({1, 0, keys, 0}, 0.010 + 1e-3 * static_cast<double>(keys) / 1024);
  EXPECT_NEAR(pacer.prefill_budget(1, 2048), 0.012, 1e-4);
  EXPECT_NEAR(pacer.prefill_budget(1, 4096, 2048), 0.010, 1e-4);
  EXPECT_NEAR(pacer.prefill_budget(1, 4096, 4096), 0.006, 1e-4);
  EXPECT_NEAR(pacer.prefill_budget(1, 30'720, 30'720), 0.010, 1e-4);  // a quarter of 40 ms
}

TEST(StepPacer, OneHeldUpStepChangesLittle) {
  Machine m{0.01, 0.001, 0.001, 0};
  StepPacer pacer(2);
  for (int i = 0; i < 100; ++i) {
    StepWork w = i % 2 ? work(2, 0) : work(2, 5 + i % 7);
    pacer.observe(w, m.seconds(w));
  }
  int32_t before = pacer.rows_within(pacer.prefill_budget(2, 600), 0);
  pacer.observe(work(2, 0), 5);
  for (int i = 0; i < 30; ++i) pacer.observe(work(2, 0), m.seconds(work(2, 0)));
  int32_t after = pacer.rows_within(pacer.prefill_budget(2, 600), 0);
  EXPECT_LE(after, before + before / 4);
  EXPECT_GE(after, before - before / 4);
}

TEST(StepPacer, UnusableTimesAreIgnored) {
  StepPacer pacer(2);
  for (double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN(), StepPacer::kUnbounded})
    pacer.observe(work(1, 0), bad);
  EXPECT_EQ(pacer.prefill_budget(1, 300), StepPacer::kUnbounded);
  EXPECT_EQ(StepPacer(0).prefill_budget(1, 300), StepPacer::kUnbounded);
  EXPECT_FALSE(StepPacer(0).must_measure(1, 300));
}

}  // namespace
}  // namespace turgo
