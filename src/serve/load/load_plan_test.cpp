#include "serve/load/load_plan.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

TEST(LoadPlan, ArrivalsKeepTheRate) {
  for (double burstiness : {0.5, 1.0, 4.0}) {
    std::vector<double> times = arrival_times(20000, 50, burstiness, 3);
    EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
    EXPECT_NEAR(times.back(), 400, 20);
    std::vector<double> gaps;
    for (size_t i = 1; i < times.size(); ++i) gaps.push_back(times[i] - times[i - 1]);
    double variation = deviation(gaps) / mean(gaps);
    EXPECT_NEAR(variation * variation, 1 / burstiness, 0.15 / burstiness);  // Poisson: 1
  }
  EXPECT_EQ(arrival_times(3, 0, 1, 1), (std::vector<double>{0, 0, 0}));
}

TEST(LoadPlan, PromptsAreRepeatableAndDistinct) {
  EXPECT_EQ(random_prompt(50, 7), random_prompt(50, 7));
  EXPECT_NE(random_prompt(50, 7), random_prompt(50, 8));
  std::string text = random_prompt(50, 7);
  EXPECT_EQ(std::count(text.begin(), text.end(), ' '), 49);
}

TEST(LoadPlan, Percentiles) {
  std::vector<double> values;
  for (int i = 100; i >= 1; --i) values.push_back(i);
  EXPECT_EQ(percentile(values, 50), 50);
  EXPECT_EQ(percentile(values, 99), 99);
  EXPECT_EQ(percentile(values, 100), 100);
  EXPECT_EQ(percentile({3}, 1), 3);
  EXPECT_EQ(percentile({}, 50), 0);
  EXPECT_EQ(mean({1, 2, 6}), 3);
  EXPECT_EQ(deviation({2, 2}), 0);
}

}  // namespace
}  // namespace turgo
