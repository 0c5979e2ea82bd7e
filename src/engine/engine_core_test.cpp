// The engine's behaviour at its edges, over the fake model.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/core_harness.h"

namespace turgo {
namespace {

template <class F>
Error expect_error(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorCode::kIo, "");
}

TEST(Engine, GreedyFollowsTheModel) {
  CoreHarness h;
  for (int32_t n : kLengths) {
    Request r = test_request(n, 10, 4);
    r.sampling = {};
    r.sampling.temperature = 0;
    std::vector<int32_t> context = r.input_ids;
    auto tokens = h.answer(r);
    ASSERT_EQ(tokens.size(), 10u);
    for (int32_t t : tokens) {
      auto logits = h.runner.logits_after(context);
      EXPECT_EQ(t, std::max_element(logits.begin(), logits.end()) - logits.begin());
      context.push_back(t);
    }
  }
}

TEST(Engine, IdenticalPromptsThatArriveTogetherAreComputedOnce) {
  CoreHarness h;
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (int i = 0; i < 4; ++i) sinks.push_back(h.submit(test_request(300, 1, 8)));
  h.run();
  for (auto& s : sinks) EXPECT_EQ(s->tokens, sinks[0]->tokens);
  EXPECT_EQ(h.runner.num_rows, 300 + 3 * (300 - 256));
}

TEST(Engine, OwnersShareNothing) {
  CoreHarness h;
  Request r = test_request(200, 5, 1);
  r.owner = "alice";
  h.answer(r);
  r.owner = "bob";
  auto sink = h.submit(r);
  h.run();
  EXPECT_EQ(sink->stats.cached_tokens, 0);
  r.session_id = "s";
  h.answer(r);
  EXPECT_EQ(expect_error([&] { h.core.end_session("s", "alice"); }).code(), ErrorCode::kNotFound);
  EXPECT_TRUE(h.core.sessions().list("alice").empty());
  EXPECT_EQ(h.core.sessions().list("bob").size(), 1u);
  h.core.end_session("s", "bob");
  EXPECT_TRUE(h.core.sessions().list("bob").empty());
}

TEST(Engine, MaxNewTokensIsExact) {
  CoreHarness h;
  for (int32_t n : {0, 1, 2, 63, 64, 65}) {
    auto sink = h.submit(test_request(64, n, 2));
    h.run();
    EXPECT_EQ(static_cast<int32_t>(sink->tokens.size()), n);
    EXPECT_EQ(sink->finish, FinishReason::kLength);
    EXPECT_EQ(sink->num_ends, 1);
  }
}

TEST(Engine, TheContextIsTheLimit) {
  CoreHarness h;  // session_len 1024
  auto sink = h.submit(test_request(1000, 500, 2));
  h.run();
  EXPECT_EQ(sink->tokens.size(), 24u);
  EXPECT_EQ(sink->finish, FinishReason::kLength);
  sink = h.submit(test_request(1024, 500, 2));
  h.run();
  EXPECT_EQ(sink->tokens.size(), 0u);
  EXPECT_EQ(sink->finish, FinishReason::kLength);
  Error e = expect_error([&] { h.submit(test_request(1025, 1, 2)); });
  EXPECT_EQ(e.code(), ErrorCode::kTooLong);
  EXPECT_NE(std::string(e.what()).find("1025"), std::string::npos);
  EXPECT_NE(std::string(e.what()).find("1024"), std::string::npos);
  // A pool smaller than the model's context is the context.
  CoreHarness small(2);
  EXPECT_EQ(expect_error([&] { small.submit(test_request(129, 1, 2)); }).code(), ErrorCode::kTooLong);
  EXPECT_EQ(small.answer(test_request(100, 50, 3)).size(), 28u);
  CoreHarness one(1);
  EXPECT_EQ(one.answer(test_request(60, 50, 3)).size(), 4u);
}

TEST(Engine, StopIdsAndEos) {
  CoreHarness h;
  Request r = test_request(50, 40, 2);
  auto all = h.answer(r);
  r.stop_token_ids = {all[5]};
  auto first = static_cast<size_t>(std::find(all.begin(), all.end(), all[5]) - all.begin());
  auto sink = h.submit(r);
  h.run();
  EXPECT_EQ(sink->finish, FinishReason::kStop);
  EXPECT_EQ(sink->tokens, std::vector<int32_t>(all.begin(), all.begin() + static_cast<ptrdiff_t>(first)));
  // The model's EOS is one of its tokens; without ignore_eos some request ends by it, with it none does.
  int stopped = 0;
  for (uint32_t seed = 0; seed < 30; ++seed) {
    Request s = test_request(20, 60, seed);
    s.ignore_eos = false;
    auto with_eos = h.submit(s);
    h.run();
    stopped += with_eos->finish == FinishReason::kStop;
    EXPECT_EQ(std::count(with_eos->tokens.begin(), with_eos->tokens.end(), 60), 0);
    s.sampling.min_new_tokens = 60;
    EXPECT_EQ(h.answer(s).size(), 60u);
  }
  EXPECT_GT(stopped, 5);
}

struct StopAfter : TokenObserver {
  StopAfter(size_t n, Verdict v) : left(n), verdict(v) {}
  Verdict on_token(const OutputToken&) override { return --left == 0 ? verdict : Verdict::kContinue; }
  size_t left;
  Verdict verdict;
};

TEST(Engine, ObserversEndARequestWithOrWithoutTheToken) {
  CoreHarness h;
  auto all = h.answer(test_request(50, 40, 2));
  for (auto verdict : {TokenObserver::Verdict::kStop, TokenObserver::Verdict::kDropAndStop}) {
    Request r = test_request(50, 40, 2);
    r.session_id = verdict == TokenObserver::Verdict::kStop ? "keep" : "drop";
    r.observer = std::make_shared<StopAfter>(7, verdict);
    auto sink = h.submit(r);
    h.run();
    EXPECT_EQ(sink->finish, FinishReason::kStop);
    size_t expected = verdict == TokenObserver::Verdict::kStop ? 7 : 6;
    EXPECT_EQ(sink->tokens,
              std::vector<int32_t>(all.begin(), all.begin() + static_cast<ptrdiff_t>(expected)));
    EXPECT_EQ(h.core.sessions().get(r.session_id, "").tokens.size(), 50 + expected);
  }
}

TEST(Engine, NanEndsOnlyItsRequest) {
  CoreHarness h;
  h.runner.model.poison_token = 59;
  auto clean = [](uint32_t seed) {
    Request r = test_request(80, 30, seed);
    r.sampling.logit_bias = {{59, -1e9f}};
    for (int32_t& id : r.input_ids) id %= 59;
    return r;
  };
  Request bad = clean(1);
  bad.input_ids[70] = 59;
  bad.session_id = "bad";
  auto a = h.submit(clean(2)), b = h.submit(bad), c = h.submit(clean(3));
  h.run();
  EXPECT_EQ(b->finish, FinishReason::kError);
  EXPECT_FALSE(b->error.empty());
  EXPECT_EQ(a->tokens, reference(clean(2)));
  EXPECT_EQ(c->tokens, reference(clean(3)));
  EXPECT_EQ(h.core.sessions().find("bad", ""), nullptr);
  // A session stays as it was before the bad request.
  Request good = clean(4);
  good.session_id = "s";
  h.answer(good);
  auto before = h.core.sessions().get("s", "").tokens;
  bad.session_id = "s";
  auto d = h.submit(bad);
  h.run();
  EXPECT_EQ(d->finish, FinishReason::kError);
  EXPECT_EQ(h.core.sessions().get("s", "").tokens, before);
  Request next = clean(5), whole = clean(5);
  next.session_id = "s";
  whole.input_ids.insert(whole.input_ids.begin(), before.begin(), before.end());
  EXPECT_EQ(h.answer(next), reference(whole));
}

TEST(Engine, AFailedStepEndsItsRequestsOnly) {
  CoreHarness h;
  int steps = 0;
  h.runner.before_step = [&](const StepPlan&) {
    if (++steps == 3) fail(ErrorCode::kResourceExhausted, "no memory");
  };
  auto a = h.submit(test_request(20, 10, 2)), b = h.submit(test_request(30, 10, 4));
  h.run();
  EXPECT_EQ(a->finish, FinishReason::kError);
  EXPECT_EQ(a->error, "no memory");
  EXPECT_EQ(b->finish, FinishReason::kError);
  EXPECT_EQ(h.core.blocks().num_active(), 0);
  EXPECT_EQ(h.answer(test_request(20, 10, 2)), reference(test_request(20, 10, 2)));
}

TEST(Engine, AFailedStepMayNotHaveCopiedASharedBlock) {
  CoreHarness h;
  Request r = test_request(100, 10, 3);
  r.session_id = "a";
  h.answer(r);
  h.core.sessions().fork("a", "b", "", h.now);
  auto history = h.core.sessions().get("b", "").tokens;
  Request next = test_request(5, 20, 8), whole = next;
  whole.input_ids.insert(whole.input_ids.begin(), history.begin(), history.end());
  next.session_id = "a";
  h.answer(next);
  next.session_id = "b";
  h.runner.before_step = [](const StepPlan& plan) {
    EXPECT_FALSE(plan.block_ops.empty());
    fail(ErrorCode::kResourceExhausted, "no memory");
  };
  h.submit(next);
  h.run();
  h.runner.before_step = nullptr;
  EXPECT_EQ(h.answer(next), reference(whole));
}

TEST(Engine, CancelAtEveryStageFreesAtOnce) {
  for (int stage = 0; stage < 12; ++stage)
    for (bool in_flight : {false, true}) {
      CoreHarness h(8);
      auto other = h.submit(test_request(70, 60, 5));
      auto victim = h.submit(test_request(150, 60, 6));
      uint64_t id = h.last_id;
      auto queued = h.submit(test_request(300, 20, 7));
      for (int i = 0; i < stage; ++i) h.step();
      if (in_flight) {
        h.in_flight = [&] { h.core.cancel(id, h.now); };
        h.step();
        h.in_flight = nullptr;
      } else {
        h.core.cancel(id, h.now);
      }
      EXPECT_EQ(victim->num_ends, 1);
      EXPECT_EQ(victim->finish, FinishReason::kCancelled);
      h.core.cancel(id, h.now);  // once more: nothing
      h.run();
      EXPECT_EQ(other->tokens, reference(test_request(70, 60, 5)));
      EXPECT_EQ(queued->tokens, reference(test_request(300, 20, 7)));
      EXPECT_EQ(h.core.blocks().num_active(), 0);
    }
}

TEST(Engine, ACancelledTurnKeepsWhatWasSaid) {
  CoreHarness h;
  Request r = test_request(40, 100, 2);
  r.session_id = "s";
  auto sink = h.submit(r);
  for (int i = 0; i < 10; ++i) h.step();
  h.core.cancel(h.last_id, h.now);
  EXPECT_EQ(h.core.sessions().get("s", "").tokens.size(), 40 + sink->tokens.size());
  Request next = test_request(10, 10, 3), whole = next;
  auto history = h.core.sessions().get("s", "").tokens;
  whole.input_ids.insert(whole.input_ids.begin(), history.begin(), history.end());
  next.session_id = "s";
  EXPECT_EQ(h.answer(next), reference(whole));
  // Cancelled in the queue: as if it had never come.
  history = h.core.sessions().get("s", "").tokens;
  next.step = 20;
  h.submit(next);
  h.core.cancel(h.last_id, h.now);
  EXPECT_EQ(h.core.sessions().get("s", "").tokens, history);
  next.session_id = "new";
  next.step = -1;
  h.submit(next);
  h.core.cancel(h.last_id, h.now);
  EXPECT_EQ(h.core.sessions().find("new", ""), nullptr);
}

TEST(Engine, FirstComeFirstServedWithinAClass) {
  EngineConfig c = CoreHarness::small_config();
  c.max_batch_size = 2;
  CoreHarness h(64, c);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 8; ++i) {
    Request r = test_request(30, 20, i);
    r.priority = i >= 6 ? -1 : 0;
    sinks.push_back(h.submit(r));
  }
  h.run();
  auto first_token = [&](size_t i) { return sinks[i]->stats.ttft_seconds; };
  for (size_t i = 0; i < 5; ++i) EXPECT_LE(first_token(i), first_token(i + 1)) << i;
  EXPECT_LE(first_token(6), first_token(0));
  EXPECT_LE(first_token(7), first_token(0));
}

TEST(Engine, AnUrgentRequestPreemptsAWorseClass) {
  EngineConfig c = CoreHarness::small_config();
  c.max_batch_size = 1;
  CoreHarness h(64, c);
  auto slow = h.submit(test_request(30, 200, 3));
  for (int i = 0; i < 20; ++i) h.step();
  Request r = test_request(30, 5, 4);
  r.priority = -5;
  auto urgent = h.submit(r);
  for (int i = 0; i < 6; ++i) h.step();
  EXPECT_EQ(urgent->num_ends, 1);
  EXPECT_EQ(slow->num_ends, 0);
  h.run();
  EXPECT_EQ(slow->tokens, reference(test_request(30, 200, 3)));
}

TEST(Engine, TheQueueIsBounded) {
  EngineConfig c = CoreHarness::small_config();
  c.max_queue = 3;
  CoreHarness h(64, c);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 3; ++i) sinks.push_back(h.submit(test_request(10, 5, i)));
  EXPECT_EQ(expect_error([&] { h.submit(test_request(10, 5, 9)); }).code(), ErrorCode::kResourceExhausted);
  h.run();
  for (auto& s : sinks) EXPECT_EQ(s->num_ends, 1);
}

TEST(Engine, BadRequestsAreRefusedAndChangeNothing) {
  CoreHarness h;
  Request busy = test_request(10, 50, 1);
  busy.session_id = "busy";
  auto sink = h.submit(busy);
  h.step();
  auto refuse = [&](auto change, ErrorCode code) {
    Request r = test_request(10, 5, 2);
    change(r);
    EXPECT_EQ(expect_error([&] { h.submit(r); }).code(), code);
  };
  using R = Request&;
  refuse([](R r) { r.input_ids.clear(); }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.input_ids[3] = 61; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.input_ids[3] = -1; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.embeddings = {1, 2}; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.max_new_tokens = -1; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.sampling.min_new_tokens = 6; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.sampling.top_p = 0; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.stop_token_ids = {-1}; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.session_id = "busy"; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.session_id = "new", r.step = 1; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.step = -2; }, ErrorCode::kInvalidArgument);
  refuse([](R r) { r.session_id = std::string(300, 'x'); }, ErrorCode::kInvalidArgument);
  EXPECT_EQ(expect_error([&] { h.core.sessions().fork("busy", "b", "", 0); }).code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(expect_error([&] { h.core.end_session("busy", ""); }).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(expect_error([&] { h.core.sessions().get("none", ""); }).code(), ErrorCode::kNotFound);
  EXPECT_EQ(h.core.sessions().find("new", ""), nullptr);
  h.run();
  EXPECT_EQ(sink->tokens, reference(busy));
}

TEST(Engine, SessionsExpireAndAreBounded) {
  EngineConfig c = CoreHarness::small_config();
  c.session_ttl_seconds = 1000;
  c.max_sessions = 2;
  CoreHarness h(64, c);
  Request r = test_request(10, 5, 2);
  r.session_id = "a";
  h.answer(r);
  r.session_id = "b";
  h.answer(r);
  r.session_id = "c";
  EXPECT_EQ(expect_error([&] { h.submit(r); }).code(), ErrorCode::kResourceExhausted);
  h.now += 2000;
  h.run();
  EXPECT_TRUE(h.core.sessions().list("").empty());
  h.answer(r);
  h.now += 2000;  // nobody looked meanwhile: the next turn finds nothing all the same
  auto sink = h.submit(r);
  h.run();
  EXPECT_EQ(sink->stats.history_tokens, 0);
}

TEST(Engine, LogitsOfEveryTokenInOrder) {
  CoreHarness h;
  auto ids = test_ids(150, 4);
  h.answer(test_request(150, 5, 4));  // a cached prefix must not hide rows
  auto sink = std::make_shared<CollectingSink>();
  uint64_t id = h.core.submit_logits(ids, sink, h.now);
  auto other = h.submit(test_request(70, 40, 9));
  for (int i = 0; i < 200 && !sink->num_ends; ++i) {
    h.run();
    h.core.resume(id);
  }
  EXPECT_EQ(sink->first_indices, (std::vector<int32_t>{0, 40, 80, 120}));
  ASSERT_EQ(sink->logits.size(), 150u * 61);
  for (int32_t n : {1, 64, 65, 150}) {
    auto expected = h.runner.logits_after({ids.begin(), ids.begin() + n});
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), sink->logits.begin() + (n - 1) * 61)) << n;
  }
  EXPECT_EQ(other->tokens, reference(test_request(70, 40, 9)));
  EXPECT_EQ(expect_error([&] { h.core.submit_logits({}, sink, 0); }).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(expect_error([&] { h.core.submit_logits(test_ids(1025, 1), sink, 0); }).code(),
            ErrorCode::kTooLong);
}

TEST(Engine, BlocksBalanceToZero) {
  CoreHarness h(20);
  for (uint32_t i = 0; i < 60; ++i) {
    Request r = test_request(1 + static_cast<int32_t>(i * 37 % 250), 1 + static_cast<int32_t>(i % 40), i);
    if (i % 3 == 0) r.session_id = std::to_string(i % 9), r.step = 0;
    h.answer(r);
  }
  EXPECT_EQ(h.core.blocks().num_active(), 0);
  EXPECT_EQ(h.core.blocks().num_free() + h.core.blocks().num_cached(), 20);
  EXPECT_EQ(h.core.num_requests(), 0u);
}

}  // namespace
}  // namespace turgo
