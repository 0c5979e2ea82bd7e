// The sampler against a slow twin that sorts everything, against exact distributions, and at its edges.
#include "sampling/sampler.h"
#include "core/cpu_time_test_util.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>

#include "core/error.h"
#include "sampling/philox.h"
#include "sampling/weighted_select.h"

namespace turgo {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> random_row(size_t n, uint32_t seed, float spread) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> row(n);
  for (float& x : row) x = normal(rng);
  return row;
}

SampledToken sample(const SamplingParams& p, std::vector<float> row, int64_t position = 0,
                    const uint32_t* allowed = nullptr) {
  SampleScratch scratch;
  Sampler s(p, {}, static_cast<int32_t>(row.size()));
  return s.sample(row, position, allowed, scratch);
}

SamplingParams plain() {
  SamplingParams p;
  p.temperature = 1;
  p.top_k = 0;
  p.top_p = 1;
  return p;
}

// Sorts the whole row, in double.
struct Twin {
  std::vector<std::pair<double, int32_t>> kept;  // (probability, id), best first

  Twin(const std::vector<float>& row, const SamplingParams& p) {
    std::vector<int32_t> order(row.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return row[a] > row[b]; });
    if (p.top_k > 0 && static_cast<size_t>(p.top_k) < order.size()) order.resize(p.top_k);
    double sum = 0;
    for (int32_t id : order) {
      kept.emplace_back(std::exp((double{row[id]} - row[order[0]]) / p.temperature), id);
      sum += kept.back().first;
    }
    double running = 0;
    size_t n = 0;
    while (n < kept.size() && running < p.top_p * sum) running += kept[n++].first;
    kept.resize(std::max<size_t>(n, 1));
    while (kept.back().first < p.min_p) kept.pop_back();
    double total = 0;
    for (auto& k : kept) total += k.first;
    for (auto& k : kept) k.first /= total;
  }
  int32_t draw(double u) const {
    double running = 0;
    for (auto [w, id] : kept) {
      running += w;
      if (running >= u) return id;
    }
    return kept.back().second;
  }
};

// Pearson's statistic against the exact probabilities; cells of less than 5 expected draws are merged.
void expect_distribution(const SamplingParams& base, const std::vector<float>& row, int draws) {
  Twin twin(row, base);
  std::map<int32_t, int> seen;
  SampleScratch scratch;
  Sampler s(base, {}, static_cast<int32_t>(row.size()));
  for (int i = 0; i < draws; ++i) {
    std::vector<float> copy = row;
    ++seen[s.sample(copy, i, nullptr, scratch).token_id];
  }
  double chi2 = 0, rest_expected = 0, rest_seen = 0;
  int cells = 0, counted = 0;
  for (auto [probability, id] : twin.kept) {
    double expected = probability * draws;
    counted += seen[id];
    if (expected < 5) {
      rest_expected += expected;
      rest_seen += seen[id];
      continue;
    }
    chi2 += (seen[id] - expected) * (seen[id] - expected) / expected;
    ++cells;
  }
  if (rest_expected >= 5) {
    chi2 += (rest_seen - rest_expected) * (rest_seen - rest_expected) / rest_expected;
    ++cells;
  }
  EXPECT_EQ(counted, draws) << "a token outside of the allowed set was drawn";
  double df = std::max(1, cells - 1);
  double z = (std::cbrt(chi2 / df) - (1 - 2 / (9 * df))) / std::sqrt(2 / (9 * df));  // Wilson-Hilferty
  EXPECT_LT(z, 4) << "chi2 " << chi2 << " with " << df << " degrees of freedom";
}

TEST(Philox, KnownAnswers) {  // from the Random123 distribution's kat_vectors
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Philox, UniformMeanAndVariance) {
  double sum = 0, squares = 0;
  constexpr int kN = 100000;
  for (int i = 0; i < kN; ++i) {
    double u = uniform01(42, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
    squares += u * u;
  }
  EXPECT_NEAR(sum / kN, 0.5, 0.005);
  EXPECT_NEAR(squares / kN, 1.0 / 3, 0.005);
}

TEST(WeightedSelect, EqualsSortedPrefix) {
  std::mt19937 rng(1);
  for (int round = 0; round < 300; ++round) {
    std::vector<double> items(1 + rng() % 200);
    for (double& x : items) x = 1 + static_cast<double>(rng() % 50);
    std::vector<double> sorted = items;
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    double total = std::accumulate(items.begin(), items.end(), 0.0);
    double target = static_cast<double>(rng() % 1001) / 1000 * total;
    size_t expected = 0;
    double running = 0;
    while (expected < sorted.size() && (running < target || expected == 0)) running += sorted[expected++];
    EXPECT_EQ(weighted_select(std::span(items), target, std::greater<>(), [](double x) { return x; }),
              expected);
  }
}

TEST(Sampler, GreedyTakesTheFirstOfEquals) {
  SamplingParams p = plain();
  p.temperature = 0;
  EXPECT_EQ(sample(p, {1, 5, 5, 2}).token_id, 1);
  p.temperature = 1;
  p.top_k = 1;
  EXPECT_EQ(sample(p, {1, 5, 5, 2}).token_id, 1);
}

// The scan goes through blocks of 1,024, in vectors, with a tail.
TEST(Sampler, GreedyFindsTheFirstOfEqualsAnywhere) {
  SamplingParams greedy;
  greedy.temperature = 0;
  const std::vector<size_t> places = {0, 3, 4, 15, 16, 1000, 1023, 1024, 1025, 2047, 2048, 2995, 2999};
  std::vector<float> row = random_row(3000, 7, 3);
  for (float& x : row) x = std::min(x, 19.0f);
  for (size_t first = 0; first < places.size(); ++first) {
    std::vector<float> equal = row;
    for (size_t i = first; i < places.size(); ++i) equal[places[i]] = 20;
    EXPECT_EQ(static_cast<int32_t>(places[first]), sample(greedy, equal).token_id);
    for (float bad : {kInf, std::numeric_limits<float>::quiet_NaN()}) {
      std::vector<float> broken = equal;
      broken[places[first]] = bad;
      EXPECT_NE(nullptr, sample(greedy, broken).error) << places[first];
    }
  }
  std::vector<float> low(3000, -kInf);
  low[2999] = -1e38f;
  EXPECT_EQ(2999, sample(greedy, low).token_id);
}

// What a bias, a mask or a minimum length forbids in the first block is found in a later one.
TEST(Sampler, GreedyAfterTheBestIsForbidden) {
  SamplingParams greedy;
  greedy.temperature = 0;
  std::vector<float> row = random_row(3000, 8, 1);
  row[5] = 30;
  row[2500] = 20;
  EXPECT_EQ(5, sample(greedy, row).token_id);
  std::vector<uint32_t> allowed(94, ~0u);
  allowed[0] &= ~(1u << 5);
  EXPECT_EQ(2500, sample(greedy, row, 0, allowed.data()).token_id);
  SamplingParams biased = greedy;
  biased.logit_bias = {{5, -kInf}};
  EXPECT_EQ(2500, sample(biased, row).token_id);
  SamplingParams longer = greedy;
  longer.min_new_tokens = 1;
  SampleScratch scratch;
  EXPECT_EQ(2500, Sampler(longer, {5}, 3000).sample(row, 0, nullptr, scratch).token_id);
}

TEST(Sampler, EqualsTheSlowTwinWhateverTheFilters) {
  std::mt19937 rng(7);
  int compared = 0;
  for (int round = 0; round < 400; ++round) {
    SamplingParams p = plain();
    p.temperature = 0.2f + static_cast<float>(rng() % 20) / 10;
    p.top_k = std::array{0, 5, 40, 600, 100000}[rng() % 5];
    p.top_p = std::array{0.01f, 0.3f, 0.8f, 0.95f, 0.999f}[rng() % 5];
    p.min_p = std::array{0.0f, 0.02f, 0.5f}[rng() % 3];
    p.seed = rng();
    auto row = random_row(1 + rng() % 3000, rng(), std::array{0.01f, 1.0f, 4.0f}[rng() % 3]);
    if (rng() % 4 == 0) row.assign(row.size(), 1.5f);  // all equal
    Twin twin(row, p);
    double u = uniform01(p.seed, 3);
    // Rounding may move a cumulated mass across the draw; skip draws within 1e-5 of a border.
    double running = 0;
    bool near = false;
    for (auto [w, id] : twin.kept) near |= std::abs((running += w) - u) < 1e-5;
    if (near) continue;
    ++compared;
    EXPECT_EQ(sample(p, row, 3).token_id, twin.draw(u)) << "round " << round;
  }
  EXPECT_GT(compared, 200);
}

TEST(Sampler, DrawsTheExactDistribution) {
  auto row = random_row(300, 11, 2);
  SamplingParams p = plain();
  p.seed = 1;
  expect_distribution(p, row, 20000);
  p.temperature = 0.6f;
  expect_distribution(p, row, 20000);
  p.top_k = 20;
  expect_distribution(p, row, 20000);
  p.top_p = 0.8f;
  expect_distribution(p, row, 20000);
  p.top_k = 0;
  expect_distribution(p, row, 20000);
  p.top_p = 1;
  p.min_p = 0.05f;
  expect_distribution(p, row, 20000);
}

TEST(Sampler, SameSeedAndPositionGiveTheSameToken) {
  auto row = random_row(5000, 3, 1);
  SamplingParams p = plain();
  int different = 0;
  for (int position = 0; position < 50; ++position) {
    EXPECT_EQ(sample(p, row, position).token_id, sample(p, row, position).token_id);
    SamplingParams q = p;
    q.seed = 99;
    different += sample(p, row, position).token_id != sample(q, row, position).token_id;
  }
  EXPECT_GT(different, 40);
}

TEST(Sampler, PenaltiesFollowTheirFormulas) {
  SamplingParams p = plain();
  p.temperature = 0;
  p.repetition_penalty = 2;
  SampleScratch scratch;
  Sampler s(p, {}, 4);
  s.add_prompt(std::vector<int32_t>{0, -1, 0});  // an embedding row between
  std::vector<float> row = {4, 3, -1, -1.5f};
  EXPECT_EQ(s.sample(row, 0, nullptr, scratch).token_id, 1);  // 4 / 2 < 3
  s.add_generated(1);
  s.add_generated(2);
  row = {-5, -4, -1, -1.5f};  // negative: times 2
  EXPECT_EQ(s.sample(row, 0, nullptr, scratch).token_id, 3);

  p = plain();
  p.temperature = 0;
  p.presence_penalty = 1;
  p.frequency_penalty = 0.5f;
  Sampler f(p, {}, 3);
  f.add_prompt(std::vector<int32_t>{0, 0, 0});  // the prompt does not count
  row = {3, 2, 1};
  EXPECT_EQ(f.sample(row, 0, nullptr, scratch).token_id, 0);
  f.add_generated(0);
  row = {3.4f, 2, 1};  // 3.4 - 1 - 0.5 = 1.9
  EXPECT_EQ(f.sample(row, 0, nullptr, scratch).token_id, 1);
}

TEST(Sampler, BiasMaskAndMinimumLength) {
  SamplingParams p = plain();
  p.temperature = 0;
  p.logit_bias = {{2, 10}, {0, -kInf}};
  EXPECT_EQ(sample(p, {9, 1, 2}).token_id, 2);
  uint32_t only_first_two = 3;
  EXPECT_EQ(sample(p, {9, 1, 2}, 0, &only_first_two).token_id, 1);
  uint32_t none = 0;
  EXPECT_NE(sample(p, {9, 1, 2}, 0, &none).error, nullptr);

  p = plain();
  p.temperature = 0;
  p.min_new_tokens = 1;
  SampleScratch scratch;
  Sampler s(p, {1}, 3);
  std::vector<float> row = {0, 9, 1};
  EXPECT_EQ(s.sample(row, 0, nullptr, scratch).token_id, 2);
  uint32_t only_the_stop = 2;  // what a mask leaves nothing beside
  row = {0, 9, 1};
  EXPECT_EQ(s.sample(row, 0, &only_the_stop, scratch).token_id, 1);
  s.add_generated(2);
  row = {0, 9, 1};
  EXPECT_EQ(s.sample(row, 0, nullptr, scratch).token_id, 1);
}

TEST(Sampler, AllButOneMaskedIsThatOne) {
  auto row = random_row(1000, 5, 3);
  double z = 0;
  for (float x : row) z += std::exp(double{x});
  for (int32_t id : {0, 31, 32, 517, 999}) {
    std::vector<uint32_t> allowed(32, 0);
    allowed[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    for (int form = 0; form < 64; ++form) {
      SamplingParams p = plain();
      p.temperature = form & 1 ? 0.0f : 0.7f;
      p.top_k = form & 2 ? 3 : 0;
      p.top_p = form & 4 ? 0.01f : 1.0f;
      p.min_p = form & 8 ? 1.0f : 0.0f;
      p.repetition_penalty = form & 16 ? 2.0f : 1.0f;
      if (form & 32) p.logit_bias = {{id, -50}, {5, 100}};
      p.num_logprobs = 2;
      SampleScratch scratch;
      Sampler s(p, {}, 1000);
      s.add_prompt(std::vector<int32_t>{id, 5});
      auto copy = row;
      SampledToken t = s.sample(copy, form, allowed.data(), scratch);
      ASSERT_EQ(t.token_id, id) << form;
      EXPECT_NEAR(t.logprob, row[static_cast<size_t>(id)] - std::log(z), 1e-4)
          << "the model's, not the mask's";
      EXPECT_EQ(t.top_logprobs.size(), 2u);
    }
  }
}

TEST(Sampler, LogprobsAreOfTheRawRow) {
  auto row = random_row(1000, 5, 3);
  SamplingParams p = plain();
  p.num_logprobs = 5;
  p.temperature = 0.1f;
  p.repetition_penalty = 3;
  p.logit_bias = {{17, 100}};
  SampleScratch scratch;
  Sampler s(p, {}, 1000);
  s.add_prompt(std::vector<int32_t>{17, 3});
  std::vector<float> copy = row;
  SampledToken t = s.sample(copy, 0, nullptr, scratch);
  double z = 0;
  for (float x : row) z += std::exp(double{x});
  EXPECT_EQ(t.token_id, 17);
  EXPECT_NEAR(t.logprob, row[17] - std::log(z), 1e-5);
  ASSERT_EQ(t.top_logprobs.size(), 5u);
  std::vector<float> sorted = row;
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  for (int i = 0; i < 5; ++i) EXPECT_NEAR(t.top_logprobs[i].logprob, sorted[i] - std::log(z), 1e-5);
}

TEST(Sampler, BadRowsAreErrorsAndNothingElse) {
  SamplingParams p = plain();
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), kInf}) {
    auto row = random_row(100, 2, 1);
    row[57] = bad;
    SampledToken t = sample(p, row);
    EXPECT_NE(t.error, nullptr);
    EXPECT_EQ(t.token_id, -1);
  }
  EXPECT_NE(sample(p, std::vector<float>(10, -kInf)).error, nullptr);
  EXPECT_EQ(sample(p, {-kInf, 1, -kInf}).token_id, 1);
  p.logit_bias = {{0, -kInf}, {1, -kInf}};
  EXPECT_NE(sample(p, {1, 2}).error, nullptr);
}

TEST(Sampler, ExtremeTemperatures) {
  auto row = random_row(1000, 5, 1);
  SamplingParams p = plain();
  p.temperature = 1e-45f;
  auto best = static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
  EXPECT_EQ(sample(p, row).token_id, best);
  p.top_k = 10;
  EXPECT_EQ(sample(p, row).token_id, best);
  p.top_p = 0.5f;
  p.temperature = 1000;
  EXPECT_GE(sample(p, row).token_id, 0);
}

TEST(Sampler, ValidateNamesTheField) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  auto refuses = [](auto change, const std::string& field) {
    SamplingParams p;
    change(p);
    try {
      validate(p, 100);
      ADD_FAILURE() << field << " was accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
      EXPECT_NE(std::string(e.what()).find(field), std::string::npos) << e.what();
    }
  };
  validate(SamplingParams{}, 100);
  for (float bad : {-1.0f, kNan, kInf}) {
    refuses([&](auto& p) { p.temperature = bad; }, "temperature");
    refuses([&](auto& p) { p.top_p = bad; }, "top_p");
    refuses([&](auto& p) { p.min_p = bad; }, "min_p");
    refuses([&](auto& p) { p.repetition_penalty = bad; }, "repetition_penalty");
    refuses([&](auto& p) { p.presence_penalty = bad * 3; }, "presence_penalty");
    refuses([&](auto& p) { p.frequency_penalty = bad * 3; }, "frequency_penalty");
  }
  refuses([](auto& p) { p.top_p = 0; }, "top_p");
  refuses([](auto& p) { p.top_k = -2; }, "top_k");
  refuses([](auto& p) { p.num_logprobs = 1000000000; }, "logprobs");
  refuses([](auto& p) { p.min_new_tokens = -1; }, "min_new_tokens");
  refuses([](auto& p) { p.logit_bias = {{100, 1}}; }, "logit_bias");
  refuses([](auto& p) { p.logit_bias = {{-1, 1}}; }, "logit_bias");
  refuses([kNan](auto& p) { p.logit_bias = {{1, kNan}}; }, "logit_bias");
}

TEST(Sampler, LargeVocabularyIsLinear) {
  // 262,144 equal logits are the worst case of a sort; ten draws of each kind in well under a second.
  std::vector<float> row(262144, 0.5f);
  double start = cpu_seconds();
  for (int i = 0; i < 10; ++i) {
    SamplingParams p = plain();
    p.top_p = 0.9f;
    EXPECT_GE(sample(p, row, i).token_id, 0);
    p.top_k = 100000;
    EXPECT_GE(sample(p, row, i).token_id, 0);
  }
  EXPECT_LT(cpu_seconds() - start, 2);
}

}  // namespace
}  // namespace turgo
