// 200 seeds of the simulation, replay, and that the seeds reach what they are meant to reach.
#include "engine/sim.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

TEST(Simulation, TwoHundredSeedsKeepAllPromises) {
  SimReport sum;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimReport r = simulate(seed);
    EXPECT_EQ(r.violation, "") << "seed " << seed;
    sum.num_requests += r.num_requests;
    sum.num_preemptions += r.num_preemptions;
    sum.num_cancelled += r.num_cancelled;
    sum.num_failed += r.num_failed;
    sum.num_cached_tokens += r.num_cached_tokens;
    sum.num_timeouts += r.num_timeouts;
    sum.num_paced_steps += r.num_paced_steps;
    sum.num_slow_steps += r.num_slow_steps;
    sum.num_layered_steps += r.num_layered_steps;
  }
  EXPECT_GT(sum.num_requests, 2000);
  EXPECT_GT(sum.num_preemptions, 200);
  EXPECT_GT(sum.num_cancelled, 200);
  EXPECT_GT(sum.num_failed, 100);
  EXPECT_GT(sum.num_cached_tokens, 10000);
  EXPECT_GT(sum.num_timeouts, 100);
  EXPECT_GT(sum.num_paced_steps, 1000);
  EXPECT_GT(sum.num_layered_steps, 1000);
  EXPECT_LT(sum.num_slow_steps * 100, sum.num_paced_steps);
}

TEST(Simulation, ASeedReplaysExactly) {
  for (uint64_t seed : {3u, 77u}) {
    SimReport a = simulate(seed), b = simulate(seed);
    EXPECT_EQ(a.trace_hash, b.trace_hash);
    EXPECT_EQ(a.num_steps, b.num_steps);
  }
  EXPECT_NE(simulate(3).trace_hash, simulate(4).trace_hash);
}

}  // namespace
}  // namespace turgo
