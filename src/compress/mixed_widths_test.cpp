// Sharing bits out, against trying everything.
#include "compress/mixed_widths.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <random>

namespace turgo {
namespace {

std::vector<WidthCosts> random_matrices(int count, uint32_t seed) {
  std::mt19937 rng(seed);
  std::lognormal_distribution<double> loss(0, 2);
  std::vector<WidthCosts> matrices;
  for (int i = 0; i < count; ++i) {
    const double x = 0.01 * loss(rng);
    matrices.push_back({"m", static_cast<int64_t>(100 + rng() % 400), {x, 0.25 * x, 0.05 * x}});
  }
  return matrices;
}

int64_t total_weights(const std::vector<WidthCosts>& matrices) {
  return std::accumulate(matrices.begin(), matrices.end(), int64_t{0},
                         [](int64_t sum, const WidthCosts& m) { return sum + m.num_weights; });
}

struct Outcome {
  double loss = 0;
  int64_t bits = 0;
};

Outcome outcome(const std::vector<WidthCosts>& matrices, const std::vector<int>& widths) {
  Outcome out;
  for (size_t i = 0; i < matrices.size(); ++i) {
    out.loss += matrices[i].loss[static_cast<size_t>(widths[i] - 2)];
    out.bits += matrices[i].num_weights * widths[i];
  }
  return out;
}

double least_loss(const std::vector<WidthCosts>& matrices, int64_t budget) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<int> widths(matrices.size(), 2);
  for (;;) {
    const Outcome now = outcome(matrices, widths);
    if (now.bits <= budget) least = std::min(least, now.loss);
    size_t i = 0;
    while (i < widths.size() && widths[i] == 4) widths[i++] = 2;
    if (i == widths.size()) return least;
    ++widths[i];
  }
}

TEST(MixedWidths, AreTheBestThatTheBudgetBuys) {
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const auto matrices = random_matrices(8, seed);
    const int64_t weights = total_weights(matrices);
    for (double target : {2.0, 2.3, 2.75, 3.0, 3.5, 4.0}) {
      const Outcome got = outcome(matrices, share_out_widths(matrices, target));
      const auto budget = static_cast<int64_t>(target * static_cast<double>(weights));
      EXPECT_LE(got.bits, budget);
      // One step of the largest matrix may be left over.
      const int64_t sure = std::max(2 * weights, budget - 2 * 500);
      EXPECT_LE(got.loss, least_loss(matrices, sure) * (1 + 1e-9)) << "seed " << seed << ", " << target;
    }
  }
}

TEST(MixedWidths, EndsOfTheRange) {
  const auto matrices = random_matrices(30, 1);
  EXPECT_EQ(share_out_widths(matrices, 2), std::vector<int>(30, 2));
  EXPECT_EQ(share_out_widths(matrices, 4), std::vector<int>(30, 4));
  EXPECT_TRUE(share_out_widths({}, 3).empty());
}

TEST(MixedWidths, WhatCostsNothingGetsTheFewestBits) {
  auto matrices = random_matrices(10, 3);
  matrices[4].loss = {};
  const auto widths = share_out_widths(matrices, 3.5);
  EXPECT_EQ(widths[4], 2);
}

}  // namespace
}  // namespace turgo
