#include "core/thread_team.h"

#include <gtest/gtest.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <numeric>
#include <thread>
#include <vector>

namespace turgo {
namespace {

double process_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

TEST(ThreadTeam, RunsEveryRankOnceAndBarrierOrders) {
  ThreadTeam team(4);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> hits(4, 0), seen(4, -1);
    team.run([&](int rank) {
      hits[rank]++;
      team.barrier();
      seen[rank] = std::accumulate(hits.begin(), hits.end(), 0);
    });
    EXPECT_EQ(hits, std::vector<int>(4, 1));
    EXPECT_EQ(seen, std::vector<int>(4, 4));
  }
}

// Competitors for every core, so that members are benched and come back all the time; each run must still
// meet every rank below active() exactly once, in front of and behind the barrier.
TEST(ThreadTeam, LeavesOutMembersUnderLoadButNeverARank) {
  ThreadTeam team(4);
  std::atomic<bool> stop{false};
  std::vector<std::thread> load;
  for (int i = 0; i < 2 * usable_cores(); ++i)
    load.emplace_back([&] {
      while (!stop.load(std::memory_order_relaxed)) {
      }
    });
  int fewest = team.size();
  auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  for (int round = 0; std::chrono::steady_clock::now() < end; ++round) {
    std::vector<int> hits(4, 0), seen(4, -1);
    auto job = [&](int rank) {
      hits[rank]++;
      team.barrier();
      seen[rank] = std::accumulate(hits.begin(), hits.end(), 0);
      for (volatile int i = 0; i < 1000;) i = i + 1;
    };
    bool everybody = round % 50 == 49;
    int prepared = 4;
    everybody ? team.run(job) : team.run_active([&](int members) { prepared = members; }, job);
    int active = team.active();
    ASSERT_EQ(prepared, active);
    if (everybody) {
      ASSERT_EQ(active, 4);
    }
    for (int rank = 0; rank < 4; ++rank) {
      ASSERT_EQ(hits[rank], rank < active ? 1 : 0) << "rank " << rank << " of " << active;
      ASSERT_EQ(seen[rank], rank < active ? active : -1);
    }
    fewest = std::min(fewest, active);
  }
  stop = true;
  for (auto& t : load) t.join();
  if (std::ifstream("/proc/thread-self/schedstat")) {
    EXPECT_LT(fewest, 4);
  }
  // Everybody is back soon after the load is gone: the longest bench is half a second.
  end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (team.active() < std::min(4, usable_cores()) && std::chrono::steady_clock::now() < end)
    team.run_active([](int) {});
  EXPECT_GE(team.active(), std::min(4, usable_cores()));
}

TEST(ThreadTeam, UsesNoCpuWhileIdle) {
  ThreadTeam team(4);
  team.run([](int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the spin after a run
  double before = process_cpu_seconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_LT(process_cpu_seconds() - before, 0.005);
}

TEST(SplitRange, CoversExactlyOnceOnGrains) {
  for (int64_t n : {0, 1, 31, 32, 33, 1000})
    for (int64_t parts : {1, 2, 3, 7}) {
      int64_t at = 0;
      for (int64_t r = 0; r < parts; ++r) {
        Range range = split_range(n, parts, r, 32);
        EXPECT_EQ(range.begin, at);
        at = range.end;
      }
      EXPECT_EQ(at, n);
    }
}

}  // namespace
}  // namespace turgo
