#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "eval/kl_divergence.h"

namespace turgo {
namespace {

TEST(TokenWindows, CutsWithoutOverlapAndKeepsTheShortTail) {
  std::vector<int32_t> ids = {10, 11, 12, 13, 14};
  auto plain = cut_windows(ids, 2, -1);
  ASSERT_EQ(plain.size(), 3u);
  EXPECT_EQ(plain[1].ids, (std::vector<int32_t>{12, 13}));
  EXPECT_EQ(plain[2].ids, (std::vector<int32_t>{14}));
  EXPECT_EQ(plain[2].first_row, 4);
  auto bos = cut_windows(ids, 3, 1);
  ASSERT_EQ(bos.size(), 2u);
  EXPECT_EQ(bos[0].ids, (std::vector<int32_t>{1, 10, 11, 12}));
  EXPECT_EQ(bos[0].num_tokens(), 3);
  EXPECT_EQ(bos[1].ids, (std::vector<int32_t>{1, 13, 14}));
}

class FakeLogits : public LogitsSource {
 public:
  explicit FakeLogits(std::vector<std::vector<float>> rows) : rows_(std::move(rows)) {}
  int32_t vocab_size() const override { return static_cast<int32_t>(rows_[0].size()); }
  void read(const TokenWindow& window,
            const std::function<void(int32_t, std::span<const float>)>& sink) override {
    for (int32_t i = 0; i < window.num_tokens(); ++i)
      sink(i, rows_[static_cast<size_t>(window.first_row + i)]);
  }

 private:
  std::vector<std::vector<float>> rows_;
};

TEST(Kl, EqualsTheFormulaByHand) {
  // Logits are defined up to a constant per row.
  FakeLogits reference({{std::log(0.5f), std::log(0.25f), std::log(0.25f)}, {5, 5, 5}});
  FakeLogits model({{std::log(0.25f) + 3, std::log(0.5f) + 3, std::log(0.25f) + 3}, {1, 1, 1}});
  auto windows = cut_windows(std::vector<int32_t>{0, 2}, 512, -1);
  KlResult kl = measure_kl(model, reference, windows);
  EXPECT_EQ(kl.num_rows, 2);
  double first = 0.5 * std::log(2.0) + 0.25 * std::log(0.5);
  EXPECT_NEAR(kl.mean, first / 2, 1e-7);
  EXPECT_NEAR(kl.max, first, 1e-7);
  EXPECT_NEAR(kl.p99, first, 1e-7);
  EXPECT_EQ(kl.top1_agreement, 0.5);
  EXPECT_NEAR(kl.reference_nll, std::log(4.0), 1e-6);  // token 2 after row 0
}

TEST(Kl, RefusesOtherVocabularies) {
  FakeLogits a({{0, 0}}), b({{0, 0, 0}});
  EXPECT_ANY_THROW(measure_kl(a, b, {}));
}

// Rows of 1,000 logits: whole blocks and a tail. Several models at once are what each is alone, and both are
// the formula in double with the library's exp.
TEST(Kl, SeveralModelsAtOnceEqualTheFormula) {
  constexpr size_t kVocab = 1000;
  std::mt19937 random(7);
  std::normal_distribution<float> normal(0, 4);
  std::vector<std::vector<float>> rows[3];
  for (auto& model : rows)
    for (int r = 0; r < 5; ++r) {
      model.emplace_back(kVocab);
      for (float& x : model.back()) x = normal(random);
    }
  FakeLogits reference(rows[0]), a(rows[1]), b(rows[2]);
  auto windows = cut_windows(std::vector<int32_t>{3, 999, 0, 500, 7}, 3, -1);
  LogitsSource* const models[] = {&a, &b, &reference};
  const std::vector<KlResult> all = measure_kl(models, reference, windows);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].mean, measure_kl(b, reference, windows).mean);
  EXPECT_EQ(all[2].mean, 0);
  EXPECT_EQ(all[2].top1_agreement, 1);
  EXPECT_EQ(all[0].num_scored, 3);
  auto log_softmax = [](const std::vector<float>& row) {
    std::vector<double> out;
    double sum = 0;
    for (float x : row) sum += std::exp(static_cast<double>(x));
    for (float x : row) out.push_back(static_cast<double>(x) - std::log(sum));
    return out;
  };
  double mean = 0;
  for (size_t r = 0; r < 5; ++r) {
    const auto p = log_softmax(rows[0][r]), q = log_softmax(rows[1][r]);
    for (size_t v = 0; v < kVocab; ++v) mean += std::exp(p[v]) * (p[v] - q[v]) / 5;
  }
  EXPECT_NEAR(all[0].mean, mean, 1e-6 * mean);
}

TEST(Kl, ExponentialIsTheLibrarys) {
  for (float x = 0; x > -90; x -= 0.0137f) {
    const double wanted = x < -87 ? 0 : std::exp(static_cast<double>(x));
    EXPECT_NEAR(static_cast<double>(exp_of_negative(x)), wanted, 3e-7 * wanted) << x;
  }
  EXPECT_EQ(exp_of_negative(0), 1);
  EXPECT_EQ(exp_of_negative(-INFINITY), 0);
  EXPECT_TRUE(std::isnan(exp_of_negative(NAN)));
}

}  // namespace
}  // namespace turgo
