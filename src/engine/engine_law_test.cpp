// The laws of the engine's contract over the fake model, bit for bit: what may not change a request's tokens.
#include <gtest/gtest.h>

#include "engine/core_harness.h"

namespace turgo {
namespace {

TEST(EngineLaw, BatchOfNIsNSingles) {
  CoreHarness h;
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 40; ++i) sinks.push_back(h.submit(test_request(kLengths[i % 9], 5 + i % 70, i)));
  h.run();
  EXPECT_LE(h.runner.max_step_rows, 64);
  for (uint32_t i = 0; i < 40; ++i)
    EXPECT_EQ(sinks[i]->tokens, reference(test_request(kLengths[i % 9], 5 + i % 70, i))) << i;
}

TEST(EngineLaw, ChunkedIsWholePrefill) {
  for (int32_t chunk : {1, 7, 63, 64, 65, 128}) {
    EngineConfig c = CoreHarness::small_config();
    c.max_prefill_tokens = chunk;
    c.max_batch_size = 1;
    CoreHarness h(64, c);
    for (uint32_t i = 0; i < 9; ++i)
      EXPECT_EQ(h.answer(test_request(kLengths[i], 70, i)), reference(test_request(kLengths[i], 70, i)))
          << chunk << " " << i;
  }
}

TEST(EngineLaw, PrefixHitIsMissAndSkipsTheWork) {
  CoreHarness h;
  for (int32_t n : kLengths) {
    for (uint32_t seed : {10u, 11u}) {
      auto first = h.answer(test_request(n, 70, seed));
      int64_t rows = h.runner.num_rows;
      auto sink = h.submit(test_request(n, 70, seed));
      h.run();
      EXPECT_EQ(sink->tokens, first);
      EXPECT_EQ(first, reference(test_request(n, 70, seed)));
      int32_t cached = (n - 1) / 64 * 64;
      EXPECT_EQ(sink->stats.cached_tokens, cached) << n;
      EXPECT_EQ(h.runner.num_rows - rows, n - cached + 69);
    }
  }
}

TEST(EngineLaw, StatefulIsStateless) {
  for (int32_t n : kLengths)
    for (uint32_t seed : {20u, 21u, 30u, 45u}) {
      CoreHarness h;
      std::vector<int32_t> history;
      for (uint32_t turn = 0; turn < 3; ++turn) {
        Request r = test_request(turn == 0 ? n : 1 + static_cast<int32_t>(turn) * 31, 20, seed + turn * 4);
        Request stateless = r;
        stateless.input_ids = history;
        stateless.input_ids.insert(stateless.input_ids.end(), r.input_ids.begin(), r.input_ids.end());
        r.session_id = "s";
        int64_t rows = h.runner.num_rows;
        auto sink = h.submit(r);
        h.run();
        EXPECT_EQ(sink->tokens, reference(stateless)) << n << " turn " << turn;
        EXPECT_EQ(sink->stats.history_tokens, static_cast<int32_t>(history.size()));
        // Only the new tokens, and the last one of the turn before, which was drawn but never computed.
        int64_t expected = static_cast<int64_t>(r.input_ids.size()) + (turn > 0 ? 1 : 0) + 19;
        EXPECT_EQ(h.runner.num_rows - rows, expected) << n << " turn " << turn;
        history = stateless.input_ids;
        history.insert(history.end(), sink->tokens.begin(), sink->tokens.end());
        EXPECT_EQ(h.core.sessions().get("s", "").tokens, history);
      }
    }
}

TEST(EngineLaw, RewoundIsNeverSaid) {
  for (int32_t step : {0, 1, 62, 63, 64, 65, 100, 128, 150}) {
    CoreHarness h;
    Request r = test_request(130, 21, 7);
    r.session_id = "s";
    h.answer(r);
    auto tokens = h.core.sessions().get("s", "").tokens;
    ASSERT_EQ(tokens.size(), 151u);
    Request again = test_request(33, 20, 9);
    Request stateless = again;
    stateless.input_ids.insert(stateless.input_ids.begin(), tokens.begin(), tokens.begin() + step);
    again.session_id = "s";
    again.step = step;
    EXPECT_EQ(h.answer(again), reference(stateless)) << step;
  }
}

TEST(EngineLaw, RegenerateNeedsNoNewInput) {
  CoreHarness h;
  Request r = test_request(100, 30, 13);
  r.session_id = "s";
  auto first = h.answer(r);
  Request again = test_request(0, 30, 13);
  again.session_id = "s";
  again.step = 100;
  int64_t rows = h.runner.num_rows;
  EXPECT_EQ(h.answer(again), first);
  EXPECT_LE(h.runner.num_rows - rows, 30);
}

TEST(EngineLaw, ForkIsCopy) {
  for (int32_t n : kLengths) {
    CoreHarness h;
    Request r = test_request(n, 20, 3);
    r.session_id = "a";
    h.answer(r);
    auto history = h.core.sessions().get("a", "").tokens;
    h.core.sessions().fork("a", "b", "", h.now);
    h.core.sessions().fork("a", "c", "", h.now);
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    std::vector<Request> stateless;
    const char* ids[] = {"a", "b", "c"};
    for (uint32_t i = 0; i < 3; ++i) {
      Request next = test_request(5 + static_cast<int32_t>(i) * 40, 90, 50 + i);
      stateless.push_back(next);
      stateless.back().input_ids.insert(stateless.back().input_ids.begin(), history.begin(), history.end());
      next.session_id = ids[i];
      sinks.push_back(h.submit(next));
    }
    h.run();
    for (size_t i = 0; i < 3; ++i) EXPECT_EQ(sinks[i]->tokens, reference(stateless[i])) << n << " fork " << i;
    // One after the other as well, the source last.
    auto b = h.core.sessions().get("b", "").tokens;
    h.core.sessions().fork("b", "d", "", h.now);
    for (const char* id : {"d", "b"}) {
      Request next = test_request(9, 40, id[0]);
      Request alone = next;
      alone.input_ids.insert(alone.input_ids.begin(), b.begin(), b.end());
      next.session_id = id;
      EXPECT_EQ(h.answer(next), reference(alone)) << n << id;
    }
  }
}

TEST(EngineLaw, PreemptedIsNot) {
  // 8 blocks; each request needs 5: they push each other out again and again, and all end with their own
  // tokens.
  CoreHarness h(8);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 6; ++i)
    sinks.push_back(h.submit(test_request(60 + static_cast<int32_t>(i), 230, i)));
  h.run();
  EXPECT_GT(h.core.scheduler().num_preemptions(), 0);
  for (uint32_t i = 0; i < 6; ++i)
    EXPECT_EQ(sinks[i]->tokens, reference(test_request(60 + static_cast<int32_t>(i), 230, i))) << i;
  EXPECT_EQ(h.core.blocks().num_active(), 0);
}

TEST(EngineLaw, EvictedSessionIsRecomputed) {
  CoreHarness h(8);
  std::vector<std::vector<int32_t>> history(5);
  for (uint32_t turn = 0; turn < 3; ++turn)
    for (uint32_t s = 0; s < 5; ++s) {
      Request r = test_request(50, 20, s + turn);
      Request stateless = r;
      stateless.input_ids.insert(stateless.input_ids.begin(), history[s].begin(), history[s].end());
      r.session_id = std::string(1, static_cast<char>('a' + s));
      auto tokens = h.answer(r);
      EXPECT_EQ(tokens, reference(stateless));
      history[s] = stateless.input_ids;
      history[s].insert(history[s].end(), tokens.begin(), tokens.end());
    }
}

TEST(EngineLaw, EmbeddingRowsSurviveEvictionAndTurns) {
  auto with_image = [](uint32_t seed, float pixel, const std::string& hash) {
    Request r = test_request(100, 20, seed);
    for (int i = 30; i < 80; ++i) {
      r.input_ids[static_cast<size_t>(i)] = -1;
      r.embeddings.push_back(pixel + static_cast<float>(i));
      r.embeddings.push_back(pixel);
    }
    r.embeddings_hash = hash;
    return r;
  };
  CoreHarness h(16);
  auto a = h.answer(with_image(2, 1, "one"));
  EXPECT_EQ(a, reference(with_image(2, 1, "one")));
  auto sink = h.submit(with_image(2, 1, "one"));
  h.run();
  EXPECT_EQ(sink->tokens, a);
  EXPECT_EQ(sink->stats.cached_tokens, 64);
  sink = h.submit(with_image(2, 5, "two"));  // another image behind the same ids: no hit
  h.run();
  EXPECT_EQ(sink->stats.cached_tokens, 0);
  EXPECT_EQ(sink->tokens, reference(with_image(2, 5, "two")));
  sink = h.submit(with_image(2, 1, ""));  // unknown content is never cached
  h.run();
  EXPECT_EQ(sink->stats.cached_tokens, 0);

  // Over two turns with an image each, evicted in between.
  Request first = with_image(4, 2, "x"), second = with_image(6, 3, "y");
  Request whole = first;
  first.session_id = second.session_id = "s";
  auto t = h.answer(first);
  for (uint32_t i = 0; i < 6; ++i) h.answer(test_request(300, 5, 70 + i));
  whole.input_ids.insert(whole.input_ids.end(), t.begin(), t.end());
  whole.input_ids.insert(whole.input_ids.end(), second.input_ids.begin(), second.input_ids.end());
  whole.embeddings.insert(whole.embeddings.end(), second.embeddings.begin(), second.embeddings.end());
  whole.sampling = second.sampling;
  whole.max_new_tokens = second.max_new_tokens;
  EXPECT_EQ(h.answer(second), reference(whole));
}

}  // namespace
}  // namespace turgo
