// The threaded engine over the fake model: streams, cancels from other threads, shutdown, idleness. Clean
// under ThreadSanitizer.
#include "engine/engine_thread.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <thread>

#include "engine/core_harness.h"

namespace turgo {
namespace {

std::unique_ptr<Engine> make_engine(int32_t num_blocks = 64, FakeRunner** runner = nullptr) {
  auto r = std::make_unique<FakeRunner>(num_blocks, FakeRunner::small_limits());
  if (runner) *runner = r.get();
  return create_engine(std::move(r), num_blocks, CoreHarness::small_config(), nullptr);
}

struct Answer {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;
};

Answer drain(Stream& stream) {
  Answer a;
  while (auto e = stream.next()) {
    for (auto& t : e->tokens) a.tokens.push_back(t.token_id);
    a.finish = e->finish;
    a.stats = e->stats;
  }
  return a;
}

TEST(EngineThread, ManyClientsEachGetTheirOwnTokens) {
  auto engine = make_engine(40);
  std::vector<std::thread> clients;
  for (uint32_t c = 0; c < 8; ++c)
    clients.emplace_back([&, c] {
      for (uint32_t i = 0; i < 10; ++i) {
        uint32_t seed = c * 100 + i;
        Request r = test_request(1 + static_cast<int32_t>(seed * 13 % 200), 30, seed);
        auto stream = engine->submit(r);
        if (i % 4 == 3) {
          auto first = stream->next();
          ASSERT_TRUE(first.has_value());
          i % 8 == 3 ? stream->cancel() : stream.reset();
          if (stream && first->finish == FinishReason::kNone) {
            EXPECT_NE(drain(*stream).finish, FinishReason::kNone);
          }
        } else {
          Answer a = drain(*stream);
          EXPECT_EQ(a.finish, FinishReason::kLength);
          EXPECT_EQ(a.tokens, reference(r));
        }
      }
    });
  for (auto& t : clients) t.join();
}

TEST(EngineThread, AListenerHearsOfEveryEvent) {
  auto engine = make_engine();
  std::atomic<int> num_calls{0};
  auto stream = engine->submit(test_request(20, 5, 1));
  stream->set_listener([&] { ++num_calls, num_calls.notify_one(); });
  Answer answer;
  for (int seen = 0; answer.finish == FinishReason::kNone;) {
    num_calls.wait(seen);
    seen = num_calls;
    auto event = stream->next(std::chrono::milliseconds(0));
    if (!event) continue;
    for (auto& token : event->tokens) answer.tokens.push_back(token.token_id);
    answer.finish = event->finish;
  }
  EXPECT_EQ(answer.tokens, reference(test_request(20, 5, 1)));
}

TEST(EngineThread, ASecondTurnComputesOnlyNewTokens) {
  FakeRunner* runner = nullptr;
  auto engine = make_engine(64, &runner);
  Request first = test_request(100, 20, 2), second = test_request(30, 20, 3);
  first.session_id = second.session_id = "s";
  drain(*engine->submit(first));
  EXPECT_EQ(engine->session_tokens("s", "").size(), 120u);
  Answer a = drain(*engine->submit(second));
  EXPECT_EQ(a.stats.history_tokens, 120);
  EXPECT_EQ(a.stats.cached_tokens, 119);
  EXPECT_EQ(a.stats.input_tokens, 30);
  EXPECT_EQ(engine->list_sessions("").size(), 1u);
  engine->fork_session("s", "t", "");
  EXPECT_EQ(engine->session_tokens("t", ""), engine->session_tokens("s", ""));
  engine->end_session("s", "");
  EXPECT_THROW(engine->session_tokens("s", ""), Error);
}

TEST(EngineThread, ACancelledTurnLetsTheNextOneIn) {
  auto engine = make_engine();
  for (uint32_t i = 0; i < 50; ++i) {
    Request r = test_request(10, 500, i);
    r.session_id = "s";
    r.step = 0;
    auto stream = engine->submit(r);
    stream->next();
  }  // dropped streams; the next submit waits for the step, and is not told that the session is busy
  engine->end_session("s", "");
}

TEST(EngineThread, EndingABusySessionCancelsItsRequest) {
  FakeRunner* runner = nullptr;
  auto engine = make_engine(64, &runner);
  runner->before_step = [](const StepPlan&) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  for (bool begun : {true, false}) {
    Request r = test_request(10, 900, 2);
    r.session_id = "s";
    auto stream = engine->submit(r);
    if (begun) stream->next();
    engine->end_session("s", "");
    EXPECT_TRUE(engine->list_sessions("").empty());
    EXPECT_EQ(drain(*stream).finish, FinishReason::kCancelled);
  }
}

TEST(EngineThread, DestructionEndsAllStreams) {
  FakeRunner* runner = nullptr;
  auto engine = make_engine(64, &runner);
  // So slow that none ends by itself, however late this thread goes on.
  runner->before_step = [](const StepPlan&) { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint32_t i = 0; i < 30; ++i) streams.push_back(engine->submit(test_request(20, 900, i)));
  engine.reset();
  for (auto& s : streams) {
    EXPECT_EQ(drain(*s).finish, FinishReason::kCancelled);
    EXPECT_FALSE(s->next().has_value());
    s->cancel();
  }
}

TEST(EngineThread, NextTimesOut) {
  FakeRunner* runner = nullptr;
  auto engine = make_engine(64, &runner);
  runner->before_step = [](const StepPlan&) { std::this_thread::sleep_for(std::chrono::milliseconds(60)); };
  auto stream = engine->submit(test_request(20, 2, 1));
  EXPECT_FALSE(stream->next(std::chrono::milliseconds(1)).has_value());
  EXPECT_EQ(drain(*stream).tokens.size(), 2u);
}

TEST(EngineThread, AThrowingRunnerHarmsOnlyItsStep) {
  FakeRunner* runner = nullptr;
  auto engine = make_engine(64, &runner);
  std::atomic<bool> broken = true;
  runner->before_step = [&](const StepPlan&) {
    if (broken) throw std::bad_alloc();
  };
  EXPECT_EQ(drain(*engine->submit(test_request(20, 2, 1))).finish, FinishReason::kError);
  broken = false;
  EXPECT_EQ(drain(*engine->submit(test_request(20, 2, 1))).finish, FinishReason::kLength);
}

TEST(EngineThread, ComputeLogitsBesideOtherRequests) {
  auto engine = make_engine();
  auto stream = engine->submit(test_request(30, 200, 1));
  auto ids = test_ids(100, 3);
  std::vector<float> all;
  engine->compute_logits(ids, [&](int32_t index, std::span<const float> row) {
    EXPECT_EQ(static_cast<size_t>(index) * 61, all.size());
    all.insert(all.end(), row.begin(), row.end());
  });
  EXPECT_EQ(all.size(), 6100u);
  EXPECT_EQ(drain(*stream).tokens, reference(test_request(30, 200, 1)));
  EXPECT_THROW(engine->compute_logits(ids, [](int32_t, std::span<const float>) { throw 1; }), int);
  EXPECT_EQ(drain(*engine->submit(test_request(20, 2, 1))).finish, FinishReason::kLength);
}

TEST(EngineThread, ADeadlineEndsAStream) {
  FakeRunner* runner = nullptr;
  Request r = test_request(20, 900, 1);
  r.max_seconds = 0.02;
  auto engine = make_engine(64, &runner);
  runner->before_step = [](const StepPlan&) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  Answer a = drain(*engine->submit(r));
  EXPECT_EQ(a.finish, FinishReason::kTimeout);
  EXPECT_LT(a.tokens.size(), 900u);
}

TEST(EngineThread, IdleUsesNoCpu) {
  auto engine = make_engine();
  drain(*engine->submit(test_request(20, 2, 1)));
  auto cpu = [] {
    rusage u{};
    getrusage(RUSAGE_SELF, &u);
    return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
  };
  double before = cpu();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LT(cpu() - before, 0.01);
}

}  // namespace
}  // namespace turgo
