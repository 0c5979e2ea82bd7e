// Token masks: an answer can not leave its form, whatever the engine does meanwhile, and a mask that fails
// harms its own request only.
#include <gtest/gtest.h>

#include "engine/core_harness.h"

namespace turgo {
namespace {

void allow(std::vector<uint32_t>& words, int32_t id) {
  words.at(static_cast<size_t>(id) / 32) |= 1u << (id % 32);
}

// Every second token at first, then every third …; counts that fill() and accept() alternate.
struct OnlyMultiples : TokenMask {
  void fill(std::vector<uint32_t>& allowed) override {
    CHECK_EQ(num_fills++, accepted.size());
    CHECK_EQ(allowed.size(), 2u);
    for (int32_t i = 0; i < 61; i += step()) allow(allowed, i);
  }
  void accept(int32_t id) override { accepted.push_back(id); }
  int32_t step() const { return 2 + static_cast<int32_t>(accepted.size() % 20); }
  size_t num_fills = 0;
  std::vector<int32_t> accepted;
};

// One text and nothing else; `at_end` says what then is allowed.
struct OnlyThis : TokenMask {
  explicit OnlyThis(std::vector<int32_t> t) : text(std::move(t)) {}
  void fill(std::vector<uint32_t>& allowed) override {
    if (place < text.size()) allow(allowed, text[place]);
    for (int32_t id : at_end)
      if (place == text.size()) allow(allowed, id);
  }
  void accept(int32_t id) override { CHECK_EQ(id, text.at(place++)); }
  bool is_finished() const override { return at_end.empty() && place == text.size(); }
  std::vector<int32_t> text, at_end;
  size_t place = 0;
};

TEST(EngineMask, SeesEveryToken) {
  CoreHarness h;
  Request r = test_request(50, 10, 3);
  auto mask = std::make_shared<OnlyMultiples>();
  r.mask = mask;
  auto tokens = h.answer(r);
  EXPECT_EQ(mask->accepted, tokens);
  for (size_t i = 0; i < tokens.size(); ++i) EXPECT_EQ(tokens[i] % static_cast<int32_t>(i + 2), 0);
}

TEST(EngineMask, LeavesOneTokenAndEndsTheRequest) {
  std::vector<int32_t> text = test_ids(20, 8, 60);
  for (uint32_t seed : {2u, 3u, 7u, 15u}) {  // greedy, sampling, top-p, penalties
    CoreHarness h;
    Request r = test_request(50, 100, seed);
    r.sampling.num_logprobs = 3;
    r.session_id = "s";
    r.mask = std::make_shared<OnlyThis>(text);
    auto sink = h.submit(r);
    h.run();
    EXPECT_EQ(sink->tokens, text);
    EXPECT_EQ(sink->finish, FinishReason::kStop);
    EXPECT_EQ(h.core.sessions().get("s", "").tokens.size(), 70u) << "the last token is part of the answer";
    for (const OutputToken& t : sink->output) EXPECT_EQ(t.top_logprobs.size(), 3u);
  }
}

TEST(EngineMask, MayLeaveTheStopOnly) {
  std::vector<int32_t> text = test_ids(20, 8, 60);
  for (int32_t least : {0, 40}) {
    CoreHarness h;
    Request r = test_request(50, 100, 3);
    r.ignore_eos = false;
    r.sampling.min_new_tokens = least;
    auto mask = std::make_shared<OnlyThis>(text);
    mask->at_end = {60};  // EOS
    r.mask = mask;
    auto sink = h.submit(r);
    h.run();
    EXPECT_EQ(sink->tokens, text);
    EXPECT_EQ(sink->finish, FinishReason::kStop);
  }
}

TEST(EngineMask, PreemptionsAndCompanyChangeNothing) {
  auto masked = [](uint32_t i) {
    Request r = test_request(60 + static_cast<int32_t>(i), 230, i);
    if (i % 3 < 2) r.mask = std::make_shared<OnlyMultiples>();
    return r;
  };
  CoreHarness h(8);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 6; ++i) sinks.push_back(h.submit(masked(i)));
  h.run();
  EXPECT_GT(h.core.scheduler().num_preemptions(), 0);
  for (uint32_t i = 0; i < 6; ++i) EXPECT_EQ(sinks[i]->tokens, reference(masked(i))) << i;
}

// n answers to one prompt: a mask for each, the prompt's full blocks computed once.
TEST(EngineMask, SeveralAnswersHaveAMaskEach) {
  CoreHarness h;
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 4; ++i) {
    requests.push_back(test_request(130, 40, 3));
    requests.back().sampling.seed = i;
    requests.back().mask = std::make_shared<OnlyMultiples>();
    sinks.push_back(h.submit(requests.back()));
  }
  h.run();
  EXPECT_EQ(h.runner.num_rows, 130 + 3 * 2 + 4 * 39);
  for (size_t i = 0; i < 4; ++i) {
    requests[i].mask = std::make_shared<OnlyMultiples>();
    EXPECT_EQ(sinks[i]->tokens, reference(requests[i])) << i;
  }
  EXPECT_NE(sinks[0]->tokens, sinks[1]->tokens);
}

struct Failing : TokenMask {
  explicit Failing(bool in_fill) : fails_in_fill(in_fill) {}
  void fill(std::vector<uint32_t>& allowed) override {
    if (fails_in_fill && num_tokens == 5) throw std::runtime_error("fill");
    std::fill(allowed.begin(), allowed.end(), ~0u);
  }
  void accept(int32_t) override {
    if (++num_tokens == 7) throw std::runtime_error("accept");
  }
  bool fails_in_fill;
  int num_tokens = 0;
};

TEST(EngineMask, OneThatFailsOrForbidsAllHarmsItsRequestOnly) {
  CoreHarness h;
  auto witness = h.submit(test_request(70, 100, 5));
  std::vector<std::pair<std::shared_ptr<TokenMask>, size_t>> bad = {
      {std::make_shared<Failing>(true), 5},
      {std::make_shared<Failing>(false), 6},
      {std::make_shared<OnlyThis>(std::vector<int32_t>{}), 0}};
  static_cast<OnlyThis&>(*bad[2].first).at_end = {63};  // no token of the vocabulary of 61
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (auto& [mask, num_tokens] : bad) {
    Request r = test_request(70, 50, 7);
    r.mask = mask;
    sinks.push_back(h.submit(r));
  }
  h.run();
  for (size_t i = 0; i < bad.size(); ++i) {
    EXPECT_EQ(sinks[i]->finish, FinishReason::kError) << i;
    EXPECT_FALSE(sinks[i]->error.empty());
    EXPECT_EQ(sinks[i]->tokens.size(), bad[i].second) << i;
  }
  EXPECT_EQ(witness->tokens, reference(test_request(70, 100, 5)));
  EXPECT_EQ(h.core.blocks().num_active(), 0);
}

}  // namespace
}  // namespace turgo
