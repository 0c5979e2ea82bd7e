// The runner over a real decoder: what the engine hands out is the model's own, bit for bit.
#include "engine/decoder_runner.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/core_harness.h"
#include "engine/law_harness.h"

namespace turgo {
namespace {

using DecoderLaw = LawTest;

TEST_P(DecoderLaw, LogitsAreTheModelsOwn) {
  auto prompt = law_ids(GetParam(), 150, 6);
  auto decoder = law_decoder(GetParam());
  TestSequence sequence(*decoder, 256);
  auto expected = sequence.feed(prompt);
  auto e = law_engine(GetParam());
  std::vector<float> all;
  e->compute_logits(prompt, [&](int32_t index, std::span<const float> row) {
    EXPECT_EQ(static_cast<size_t>(index) * row.size(), all.size());
    all.insert(all.end(), row.begin(), row.end());
  });
  EXPECT_TRUE(all == expected);
}

// Hidden states are what the head turns into the logits, whatever runs beside them and however they are cut.
TEST_P(DecoderLaw, HiddenStatesAreTheModelsOwn) {
  auto prompt = law_ids(GetParam(), 150, 6);
  auto decoder = law_decoder(GetParam());
  TestSequence sequence(*decoder, 256);
  auto expected = sequence.feed(prompt);
  auto e = law_engine(GetParam());
  auto hidden_of = [&] {
    std::vector<float> all;
    e->compute_hidden(prompt, [&](int32_t index, std::span<const float> row) {
      EXPECT_EQ(static_cast<size_t>(index) * row.size(), all.size());
      all.insert(all.end(), row.begin(), row.end());
    });
    return all;
  };
  std::vector<float> hidden = hidden_of();
  auto beside = e->submit(law_request(GetParam(), 64, 40, 2));
  EXPECT_TRUE(hidden_of() == hidden);
  const DecoderConfig& c = decoder->config();
  ASSERT_EQ(hidden.size(), prompt.size() * static_cast<size_t>(c.hidden_size));
  if (c.logits_soft_cap > 0) return;
  std::vector<float> logits(expected.size());
  auto rows = static_cast<int64_t>(prompt.size());
  decoder->executor().linear(f32_matrix(hidden.data(), rows, c.hidden_size), decoder->weights().lm_head,
                             f32_matrix(logits.data(), rows, c.vocab_size));
  decoder->executor().synchronize();
  for (size_t i = 0; i < logits.size(); ++i)
    ASSERT_NEAR(logits[i] * c.logits_scale, expected[i], 1e-4f + 1e-4f * std::abs(expected[i])) << i;
}

TEST_P(DecoderLaw, GreedyFollowsTheLogits) {
  auto decoder = law_decoder(GetParam());
  TestSequence sequence(*decoder, 256);
  Request r = law_request(GetParam(), 64, 10, 2);
  auto got = law_tokens(law_answer(*law_engine(GetParam(), memoryless_config()), r));
  auto vocab = static_cast<ptrdiff_t>(decoder->config().vocab_size);
  auto logits = sequence.feed(r.input_ids);
  for (int32_t t : got) {
    auto last = logits.end() - vocab;
    EXPECT_EQ(t, std::max_element(last, logits.end()) - last);
    logits = sequence.feed({t});
  }
}

TEST_P(DecoderLaw, WindowsAreGroupsOfTheirOwn) {
  auto specs = law_decoder(GetParam())->cache_specs();
  if (GetParam().model != "window") {
    EXPECT_EQ(specs.size(), 1u);
    return;
  }
  ASSERT_EQ(specs.size(), 2u);
  EXPECT_EQ(specs[0].layers, std::vector<int32_t>{1});
  EXPECT_EQ(specs[1].layers, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(specs[1].window, 40);
  // Far beyond the window and through the least pool, against the decoder with all pages kept.
  auto decoder = law_decoder(GetParam());
  TestSequence sequence(*decoder, 512);
  Request r = law_request(GetParam(), 400, 20, 2);
  EngineConfig c = law_config();
  c.cache_max_entry_count = 7;
  auto got = law_tokens(law_answer(*law_engine(GetParam(), c), r));
  auto vocab = static_cast<ptrdiff_t>(decoder->config().vocab_size);
  sequence.feed({r.input_ids.begin(), r.input_ids.begin() + 200});
  auto logits = sequence.feed({r.input_ids.begin() + 200, r.input_ids.end()});
  for (int32_t t : got) {
    auto last = logits.end() - vocab;
    EXPECT_EQ(t, std::max_element(last, logits.end()) - last);
    logits = sequence.feed({t});
  }
}

// A stream and what is read beside it, under a clock that lets a step take a few rows: prompts go through the
// layers step by step. With a budget of any size they do not; the answers are the same bits.
TEST_P(DecoderLaw, LayeredPrefillIsPlainPrefill) {
  struct Read {
    std::vector<LawAnswer> answers;
    std::vector<float> hidden, logits;
    int num_layered_steps = 0, with_embeddings = 0;
    bool operator==(const Read& o) const {
      return answers == o.answers && hidden == o.hidden && logits == o.logits;
    }
  };
  auto read = [&](double stretch) {
    auto decoder = law_decoder(GetParam());
    CachePlan cache{40, {}};
    for (size_t g = 1; g < decoder->cache_specs().size(); ++g) cache.window_blocks.push_back(20);
    DecoderRunner runner(decoder, cache);
    EngineConfig c = law_config();
    c.step_stretch = stretch;
    EngineCore core(c, runner.limits(), cache.num_blocks);
    double now = 1;
    Read out;
    auto step = [&] {
      const StepPlan& plan = core.plan(now);
      StepResult result;
      result.slices.resize(plan.slices.size());
      runner.execute(plan, result);
      out.num_layered_steps += plan.layered.has_value();
      out.with_embeddings += plan.layered && plan.slices[0].num_embeddings > 0;
      now += 0.010 + 0.002 * core.scheduler().planned_work().prefill_rows;
      core.judge(result);
      core.complete(result, now);
    };
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    auto submit = [&](int32_t prompt, int32_t max_new, uint32_t seed, int32_t num_embeddings = 0) {
      Request r = law_request(GetParam(), prompt, max_new, seed);
      for (int32_t i = 0; i < num_embeddings; ++i) r.input_ids[static_cast<size_t>(10 + i)] = -1;
      for (int32_t i = 0; i < num_embeddings * runner.limits().hidden_size; ++i)
        r.embeddings.push_back(std::sin(static_cast<float>(i)));
      r.embeddings_hash = num_embeddings > 0 ? "a picture" : "";
      sinks.push_back(std::make_shared<CollectingSink>());
      core.submit(std::move(r), sinks.back(), now);
    };
    submit(30, 200, 3);
    for (int i = 0; i < 5; ++i) step();
    submit(130, 8, 4);
    submit(3, 5, 5);
    for (int i = 0; i < 20; ++i) step();
    submit(90, 8, 6, 50);
    auto hidden = std::make_shared<CollectingSink>(), logits = std::make_shared<CollectingSink>();
    auto ids = law_ids(GetParam(), 70, 7);
    auto h = core.submit_logits(ids, hidden, now, true), l = core.submit_logits(ids, logits, now);
    while (core.num_requests() > 0) {
      step();
      core.resume(h);
      core.resume(l);
    }
    for (const auto& s : sinks) {
      out.answers.emplace_back();
      for (const OutputToken& t : s->output) {
        out.answers.back().emplace_back(t.token_id, t.logprob);
        for (auto& top : t.top_logprobs) out.answers.back().emplace_back(top.token_id, top.logprob);
      }
    }
    out.hidden = hidden->logits;
    out.logits = logits->logits;
    return out;
  };
  Read plain = read(0), layered = read(2);
  EXPECT_EQ(plain.num_layered_steps, 0);
  EXPECT_GT(layered.num_layered_steps, 20);
  EXPECT_GT(layered.with_embeddings, 4);
  EXPECT_EQ(plain.answers[0].size(), 600u);
  EXPECT_TRUE(layered == plain);
}

// Every second token at first, then every third …
struct OnlyMultiples : TokenMask {
  void fill(std::vector<uint32_t>& allowed) override {
    for (size_t id = 0; id < allowed.size() * 32; id += step) allowed[id / 32] |= 1u << (id % 32);
  }
  void accept(int32_t id) override { EXPECT_EQ(static_cast<size_t>(id) % step++, 0u); }
  size_t step = 2;
};

// Masks are filled on the compute team, several at once.
TEST_P(DecoderLaw, MasksInABatchAreMasksAlone) {
  auto e = law_engine(GetParam());
  auto masked = [](uint32_t seed) {
    Request r = law_request(GetParam(), 64, 12, seed);
    if (seed % 4 > 0) r.mask = std::make_shared<OnlyMultiples>();
    return r;
  };
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint32_t seed = 0; seed < 8; ++seed) streams.push_back(e->submit(masked(seed)));
  for (uint32_t seed = 0; seed < 8; ++seed) {
    LawAnswer answer = law_drain(*streams[seed]);
    EXPECT_EQ(answer.size(), 36u);
    EXPECT_EQ(answer, law_answer(*e, masked(seed))) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderLaw, law_cases(), law_case_name);

}  // namespace
}  // namespace turgo
