#include "core/cpu_place.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>
#include <vector>

namespace turgo {
namespace {

TEST(CpuPlace, LeavesTheCpusThatAreTakenAndKeepsItsMask) {
  std::thread([] {
    cpu_set_t all, now;
    ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &all)) cpus.push_back(cpu);
    for (int cpu : cpus) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
      EXPECT_EQ(current_cpu(), cpu);
      EXPECT_FALSE(leave_cpus(std::vector<int>{cpu}));  // nowhere to go
      ASSERT_EQ(sched_getaffinity(0, sizeof(now), &now), 0);
      EXPECT_TRUE(CPU_EQUAL(&now, &one));

      ASSERT_EQ(sched_setaffinity(0, sizeof(all), &all), 0);
      EXPECT_EQ(leave_cpus(std::vector<int>{-1, cpu}), cpus.size() > 1);
      ASSERT_EQ(sched_getaffinity(0, sizeof(now), &now), 0);
      EXPECT_TRUE(CPU_EQUAL(&now, &all));
    }
    EXPECT_FALSE(leave_cpus(cpus));
  }).join();
}

TEST(CpuPlace, MovesAtOnce) {
  std::thread([] {
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "one CPU";
    for (int i = 0; i < 100; ++i) {
      int here = current_cpu();
      // Nothing keeps it from being moved back before it asks; that never happens a hundred times.
      if (leave_cpus(std::vector<int>{here}) && current_cpu() != here) return;
    }
    FAIL() << "still on the CPU that it left";
  }).join();
}

}  // namespace
}  // namespace turgo
