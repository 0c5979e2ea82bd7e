// Whatever one user does wrong, it is an error for that request alone: all blocks come back, and a stream
// that runs beside it gets the same tokens bit for bit.
#include <gtest/gtest.h>

#include "engine/core_harness.h"

namespace turgo {
namespace {

// A stream beside which things go wrong.
class BadInput : public testing::Test {
 protected:
  BadInput() { witness_ = h_.submit(stream_); }
  ~BadInput() override {
    h_.run();
    EXPECT_EQ(witness_->tokens, reference(stream_));
    EXPECT_EQ(witness_->finish, FinishReason::kLength);
    EXPECT_EQ(h_.core.blocks().num_active(), 0);
    EXPECT_EQ(h_.core.num_requests(), 0u);
  }
  template <class F>
  void refused(ErrorCode code, F f) {
    try {
      f();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    }
    h_.step();
  }

  Request stream_ = test_request(70, 300, 5);
  CoreHarness h_{12};
  std::shared_ptr<CollectingSink> witness_;
  int num_cancelled_waiting_ = 0;
};

TEST_F(BadInput, NumbersOutOfRange) {
  float nan = std::numeric_limits<float>::quiet_NaN();
  for (auto change : std::vector<std::function<void(SamplingParams&)>>{
           [](auto& s) { s.temperature = -1; }, [=](auto& s) { s.temperature = nan; },
           [](auto& s) { s.top_p = 1.5f; }, [=](auto& s) { s.top_p = nan; }, [](auto& s) { s.top_k = -5; },
           [](auto& s) { s.repetition_penalty = 0; }, [](auto& s) { s.repetition_penalty = -1; },
           [=](auto& s) { s.repetition_penalty = nan; }, [=](auto& s) { s.frequency_penalty = nan; },
           [](auto& s) { s.frequency_penalty = 1e30f; }, [](auto& s) { s.logit_bias = {{61, 1.0f}}; },
           [](auto& s) { s.logit_bias = {{-1, 1.0f}}; }, [](auto& s) { s.num_logprobs = -2; }}) {
    Request r = test_request(20, 5, 2);
    change(r.sampling);
    refused(ErrorCode::kInvalidArgument, [&] { h_.submit(r); });
  }
}

TEST_F(BadInput, DuplicateAndForeignSessions) {
  Request r = test_request(30, 60, 2);
  r.session_id = "s";
  r.owner = "alice";
  auto turn = h_.submit(r);
  h_.step();
  refused(ErrorCode::kInvalidArgument, [&] { h_.submit(r); });  // it is answering
  while (!turn->num_ends) h_.step();
  auto tokens = h_.core.sessions().get("s", "alice").tokens;
  auto& sessions = h_.core.sessions();
  sessions.fork("s", "t", "alice", h_.now);
  refused(ErrorCode::kInvalidArgument, [&] { sessions.fork("s", "t", "alice", h_.now); });
  refused(ErrorCode::kInvalidArgument, [&] { h_.core.restore_session("t", "alice", {tokens, {}}, h_.now); });
  refused(ErrorCode::kNotFound, [&] { sessions.get("s", "bob"); });
  refused(ErrorCode::kNotFound, [&] { sessions.fork("s", "u", "bob", h_.now); });
  refused(ErrorCode::kNotFound, [&] { h_.core.end_session("s", "bob"); });
  r.owner = "bob";  // the same id is his own session, which has no step 10 yet
  r.step = 10;
  refused(ErrorCode::kInvalidArgument, [&] { h_.submit(r); });
  r.step = -1;
  auto own = h_.submit(r);
  while (!own->num_ends) h_.step();
  EXPECT_EQ(own->stats.history_tokens, 0);
  EXPECT_EQ(own->stats.cached_tokens, 0);
  EXPECT_EQ(sessions.get("s", "alice").tokens, tokens);
}

TEST_F(BadInput, ASessionPastItsLength) {
  Request r = test_request(400, 10, 2);
  r.session_id = "s";
  auto turn = h_.submit(r);
  while (!turn->num_ends) h_.step();
  auto tokens = h_.core.sessions().get("s", "").tokens;
  r.input_ids = test_ids(400, 3);
  refused(ErrorCode::kTooLong, [&] { h_.submit(r); });  // 410 + 400 of 768
  refused(ErrorCode::kTooLong, [&] { h_.core.restore_session("v", "", {test_ids(769, 1), {}}, h_.now); });
  refused(ErrorCode::kCorrupt, [&] { h_.core.restore_session("v", "", {}, h_.now); });
  EXPECT_EQ(h_.core.sessions().get("s", "").tokens, tokens);
  r.step = 300;  // from earlier on there is room
  turn = h_.submit(r);
  while (!turn->num_ends) h_.step();
  EXPECT_EQ(turn->finish, FinishReason::kLength);
}

TEST_F(BadInput, ACancelWhilePreempted) {
  for (bool in_session : {false, true}) {
    // Together they outgrow the pool; the one that came last is preempted.
    auto rival = h_.submit(test_request(61, 400, 9));
    uint64_t rival_id = h_.last_id;
    Request r = test_request(60, 600, 8);
    if (in_session) r.session_id = "s";
    auto victim = h_.submit(r);
    uint64_t id = h_.last_id;
    auto is_waiting = [&] {
      const auto& queued = h_.core.scheduler().queued();
      return std::any_of(queued.begin(), queued.end(), [&](auto* s) { return s->id == id && s->started; });
    };
    for (int i = 0; i < 2000 && !is_waiting() && !victim->num_ends; ++i) h_.step();
    if (is_waiting()) ++num_cancelled_waiting_;
    h_.core.cancel(id, h_.now);
    EXPECT_EQ(victim->num_ends, 1);
    h_.core.cancel(rival_id, h_.now);
    EXPECT_EQ(rival->num_ends, 1);
    if (in_session && victim->finish == FinishReason::kCancelled) {
      EXPECT_EQ(h_.core.sessions().get("s", "").tokens.size(), 60 + victim->tokens.size());
    }
    h_.core.check();
  }
  EXPECT_GT(num_cancelled_waiting_, 0);
}

TEST(BadInputPool, OneBlockServesWhatFitsAndRefusesTheRest) {
  CoreHarness h(1);
  std::vector<std::shared_ptr<CollectingSink>> sinks;
  for (uint32_t i = 0; i < 5; ++i) {
    Request r = test_request(20, 30, i);
    if (i == 3) r.session_id = "s";
    sinks.push_back(h.submit(r));
  }
  EXPECT_THROW(h.submit(test_request(65, 1, 1)), Error);
  h.run();
  for (uint32_t i = 0; i < 5; ++i) EXPECT_EQ(sinks[i]->tokens, reference(test_request(20, 30, i)));
  EXPECT_EQ(h.core.blocks().num_active(), 0);
  Request next = test_request(5, 5, 7), whole = next;  // its block is gone: computed again
  auto history = h.core.sessions().get("s", "").tokens;
  whole.input_ids.insert(whole.input_ids.begin(), history.begin(), history.end());
  next.session_id = "s";
  EXPECT_EQ(h.answer(next), reference(whole));
}

}  // namespace
}  // namespace turgo
