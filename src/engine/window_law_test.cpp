// Layer groups with a sliding window over the fake model, whose windows remember their whole context like
// hidden states do: the laws hold, and a window gives its pages up.
#include <gtest/gtest.h>

#include "engine/core_harness.h"

namespace turgo {
namespace {

ModelLimits window_limits(std::vector<WindowGroup> windows) {
  ModelLimits l = FakeRunner::small_limits();
  l.windows = std::move(windows);
  return l;
}

struct WindowHarness : CoreHarness {
  explicit WindowHarness(std::vector<WindowGroup> windows, int32_t num_blocks = 64,
                         EngineConfig config = small_config())
      : CoreHarness(num_blocks, config, window_limits(std::move(windows))) {}
};

std::vector<int32_t> alone(Request r, const std::vector<WindowGroup>& windows) {
  EngineConfig c = CoreHarness::small_config();
  c.enable_prefix_caching = false;
  std::vector<WindowGroup> large = windows;
  for (WindowGroup& w : large) w.num_blocks = 64;
  WindowHarness h(large, 64, c);
  r.session_id.clear();
  r.step = -1;
  return h.answer(std::move(r));
}

// A session's next turn as one prompt.
Request whole(const Request& turn, const std::vector<int32_t>& history) {
  Request r = turn;
  r.input_ids.insert(r.input_ids.begin(), history.begin(), history.end());
  return r;
}

TEST(WindowLaw, TheModelSeesItsWindows) {
  Request r = test_request(300, 10, 4);
  EXPECT_NE(alone(r, {{100, 8}}), alone(r, {{101, 8}}));
  EXPECT_NE(alone(r, {{100, 8}}), reference(r));
}

TEST(WindowLaw, BlocksBehindTheWindowAreGivenUpExactly) {
  EngineConfig c = CoreHarness::small_config();
  c.enable_prefix_caching = false;
  WindowHarness h({{100, 64}}, 64, c);
  Request r = test_request(640, 200, 4);
  r.session_id = "s";
  auto sink = h.submit(r);
  int32_t most = 0;
  while (h.step()) {
    const auto& running = h.core.scheduler().running();
    if (running.empty()) break;
    const CacheTable& t = running[0]->table;
    // Rows from t.num_tokens on see keys from num_tokens - 99 on.
    int32_t first = std::max(t.num_tokens - 99, 0) / 64, last = (t.num_tokens + 63) / 64;
    EXPECT_EQ(t.windows[0].num_held(), last - first);
    EXPECT_EQ(h.core.blocks().group(1).num_active(), last - first);
    EXPECT_EQ(h.core.blocks().group(1).num_free(), 64 - (last - first));
    most = std::max(most, t.windows[0].num_held());
  }
  EXPECT_LE(most, 3);
  EXPECT_EQ(h.core.blocks().group(0).num_cached(), 14);  // of the idle session's 839 tokens
  EXPECT_EQ(h.core.blocks().group(1).num_cached(), 3);
}

TEST(WindowLaw, ThePoolOfAWindowMayBeItsLeast) {
  for (int32_t window : {1, 2, 63, 64, 65, 100, 200}) {
    std::vector<WindowGroup> windows = {{window, min_window_blocks(window)}};
    WindowHarness h(windows);
    std::vector<std::shared_ptr<CollectingSink>> sinks;
    for (uint32_t i = 0; i < 6; ++i)
      sinks.push_back(h.submit(test_request(200 + 20 * static_cast<int32_t>(i), 70, i)));
    h.run();
    for (uint32_t i = 0; i < 6; ++i)
      EXPECT_EQ(sinks[i]->tokens, alone(test_request(200 + 20 * static_cast<int32_t>(i), 70, i), windows))
          << window;
    EXPECT_EQ(h.core.blocks().group(1).num_active(), 0);
  }
}

TEST(WindowLaw, PrefixHitIsMiss) {
  std::vector<WindowGroup> windows = {{90, 20}, {7, 10}};
  WindowHarness h(windows);
  for (int32_t n : kLengths)
    for (uint32_t seed : {10u, 11u}) {
      auto expected = alone(test_request(n, 70, seed), windows);
      EXPECT_EQ(h.answer(test_request(n, 70, seed)), expected);
      auto sink = h.submit(test_request(n, 70, seed));
      h.run();
      EXPECT_EQ(sink->tokens, expected);
      EXPECT_EQ(sink->stats.cached_tokens, (n - 1) / 64 * 64) << n;
    }
}

TEST(WindowLaw, AHitEndsWhereAWindowIsWhole) {
  std::vector<WindowGroup> windows = {{100, 4}};  // the window pool forgets what group 0 still has
  WindowHarness h(windows);
  auto expected = alone(test_request(400, 10, 4), windows);
  EXPECT_EQ(h.answer(test_request(400, 10, 4)), expected);
  for (uint32_t i = 0; i < 3; ++i) h.answer(test_request(300, 10, 20 + i));
  auto sink = h.submit(test_request(400, 10, 4));
  h.run();
  EXPECT_EQ(sink->tokens, expected);
  EXPECT_EQ(sink->stats.cached_tokens, 0);
  // Computed again, it is cached again.
  sink = h.submit(test_request(400, 10, 4));
  h.run();
  EXPECT_EQ(sink->tokens, expected);
  EXPECT_EQ(sink->stats.cached_tokens, 384);
}

TEST(WindowLaw, SessionsContinueRewindAndFork) {
  for (bool prefix : {false, true}) {
    EngineConfig c = CoreHarness::small_config();
    c.enable_prefix_caching = prefix;
    std::vector<WindowGroup> windows = {{70, 20}};
    WindowHarness h(windows, 64, c);
    Request r = test_request(300, 20, 3);
    r.session_id = "s";
    h.answer(r);
    auto history = h.core.sessions().get("s", "").tokens;
    h.core.sessions().fork("s", "t", "", h.now);
    Request next = test_request(30, 100, 6);
    next.session_id = "s";
    int64_t rows = h.runner.num_rows;
    EXPECT_EQ(h.answer(next), alone(whole(next, history), windows));
    EXPECT_EQ(h.runner.num_rows - rows, 30 + 1 + 99);  // only what is new
    next.session_id = "t";
    EXPECT_EQ(h.answer(next), alone(whole(next, history), windows));
    auto longer = h.core.sessions().get("t", "").tokens;
    for (int32_t step : {449, 400, 390, 320, 130, 64, 1, 0}) {  // inside the window, behind it, to the start
      h.core.sessions().fork("t", "u", "", h.now);
      Request again = test_request(40, 30, 8);
      again.session_id = "u";
      again.step = step;
      EXPECT_EQ(h.answer(again), alone(whole(again, {longer.begin(), longer.begin() + step}), windows))
          << step;
      h.core.end_session("u", "");
    }
  }
}

TEST(WindowLaw, PreemptedIsNot) {
  std::vector<WindowGroup> windows = {{40, 6}, {100, 7}};
  WindowHarness h(windows, 12);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 6; ++i)
    sinks.push_back(h.submit(test_request(60 + static_cast<int32_t>(i), 330, i)));
  h.run();
  EXPECT_GT(h.core.scheduler().num_preemptions(), 0);
  for (uint32_t i = 0; i < 6; ++i)
    EXPECT_EQ(sinks[i]->tokens, alone(test_request(60 + static_cast<int32_t>(i), 330, i), windows)) << i;
  for (size_t g = 0; g < 3; ++g) EXPECT_EQ(h.core.blocks().group(g).num_active(), 0);
}

}  // namespace
}  // namespace turgo
