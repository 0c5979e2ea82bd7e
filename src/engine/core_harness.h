// Drives an EngineCore over a FakeRunner without threads, for tests: submit, run until idle, look at what
// came.
#pragma once

// GCC 12 sees overlapping copies in the assignment of short string literals (PR 105651).
#pragma GCC diagnostic ignored "-Wrestrict"

#include <memory>
#include <vector>

#include "engine/engine_core.h"
#include "engine/fake_runner.h"
#include "engine/stream_event.h"

namespace turgo {

struct CollectingSink : EventSink {
  void push(StreamEvent e) override {
    CHECK(num_ends == 0, "an event after the last one");
    for (auto& t : e.tokens) tokens.push_back(t.token_id), output.push_back(t);
    if (e.finish == FinishReason::kNone) return;
    ++num_ends;
    finish = e.finish;
    error = e.error;
    stats = e.stats;
  }
  void push_logits(int32_t first, std::vector<float> rows) override {
    first_indices.push_back(first);
    logits.insert(logits.end(), rows.begin(), rows.end());
  }
  std::vector<int32_t> tokens;
  std::vector<OutputToken> output;
  int num_ends = 0;
  FinishReason finish = FinishReason::kNone;
  std::string error;
  RequestStats stats;
  std::vector<int32_t> first_indices;
  std::vector<float> logits;
};

class CoreHarness {
 public:
  explicit CoreHarness(int32_t num_blocks = 64, EngineConfig config = small_config(),
                       const ModelLimits& limits = FakeRunner::small_limits())
      : runner(num_blocks, limits), core(config, limits, num_blocks) {}

  static EngineConfig small_config() {
    EngineConfig c;
    c.max_batch_size = 16;
    c.max_prefill_tokens = 64;
    return c;
  }

  std::shared_ptr<CollectingSink> submit(Request r) {
    auto sink = std::make_shared<CollectingSink>();
    last_id = core.submit(std::move(r), sink, now);
    return sink;
  }

  // One round; false if there was nothing to do.
  bool step() {
    now += 1;
    const StepPlan& plan = core.plan(now);
    core.check();
    if (plan.empty()) return false;
    StepResult result;
    try {
      runner.execute(plan, result);
    } catch (const std::exception& e) {
      core.fail_step(e.what(), now);
      return true;
    }
    if (in_flight) in_flight();
    core.judge(result);
    core.complete(result, now);
    core.check();
    return true;
  }
  void run(int max_steps = 100000) {
    while (step()) CHECK(--max_steps > 0, "the engine does not come to rest");
  }

  // A request alone, to its end.
  std::vector<int32_t> answer(Request r) {
    auto sink = submit(std::move(r));
    run();
    CHECK(sink->num_ends == 1 && sink->finish != FinishReason::kError, "{}", sink->error);
    return sink->tokens;
  }

  FakeRunner runner;
  EngineCore core;
  double now = 1;
  uint64_t last_id = 0;
  std::function<void()> in_flight;  // called while a step is computed
};

inline std::vector<int32_t> test_ids(int32_t n, uint32_t seed, int32_t vocab_size = 61) {
  std::vector<int32_t> ids;
  uint64_t x = seed * 2654435761u + 1;
  for (int32_t i = 0; i < n; ++i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    ids.push_back(static_cast<int32_t>((x >> 33) % static_cast<uint64_t>(vocab_size)));
  }
  return ids;
}

// Greedy for even seeds, sampling for odd ones.
inline Request test_request(int32_t prompt_len, int32_t max_new, uint32_t seed) {
  Request r;
  r.input_ids = test_ids(prompt_len, seed);
  r.max_new_tokens = max_new;
  r.ignore_eos = true;
  r.sampling.temperature = seed % 2 ? 1.0f : 0.0f;
  r.sampling.top_k = 0;
  r.sampling.top_p = seed % 4 == 3 ? 0.9f : 1.0f;
  r.sampling.seed = seed;
  if (seed % 3 == 0) r.sampling.repetition_penalty = 1.3f;
  if (seed % 5 == 0) r.sampling.frequency_penalty = 0.5f;
  return r;
}

constexpr int32_t kLengths[] = {1, 2, 63, 64, 65, 127, 128, 129, 200};

// An engine without caching and with room for all, one request alone.
inline std::vector<int32_t> reference(Request r) {
  EngineConfig c = CoreHarness::small_config();
  c.enable_prefix_caching = false;
  CoreHarness h(64, c);
  r.session_id.clear();
  r.step = -1;
  return h.answer(std::move(r));
}

}  // namespace turgo
