// The engine without its thread: requests in, steps out, events to sinks. Single-threaded and driven by the
// caller's clock, so that the simulation runs the very code that serves. A round is
//   plan() -> ModelRunner::execute() -> judge() -> complete()  (or fail_step())
// Between plan() and complete() everything but judge() may be called: what is in flight only gets marked.
// Every accepted request gets exactly one event with finish != kNone.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/cache_blocks.h"
#include "engine/engine_config.h"
#include "engine/fair_share.h"
#include "engine/model_runner.h"
#include "engine/prefix_cache.h"
#include "engine/scheduler.h"
#include "engine/sequence.h"
#include "engine/session.h"
#include "engine/session_file.h"

namespace turgo {

class EngineCore {
 public:
  EngineCore(const EngineConfig& config, const ModelLimits& limits, int32_t num_blocks);
  ~EngineCore();

  // Throws Error for a request that can not be accepted; then nothing has changed. Returns its number.
  uint64_t submit(Request request, std::shared_ptr<EventSink> sink, double now);
  uint64_t submit_logits(std::vector<int32_t> ids, std::shared_ptr<EventSink> sink, double now,
                         bool as_hidden = false);
  void resume(uint64_t id);  // the consumer of logits has taken the last rows
  void cancel(uint64_t id, double now);
  void cancel_all(double now);
  // The earliest time at which a request that is here runs out of time; infinity = none.
  double next_deadline() const;

  const StepPlan& plan(double now);
  // Stop ids, observers and masks look at the sampled tokens. Touches nothing that other calls touch.
  void judge(StepResult& result);
  void complete(StepResult& result, double now);
  void fail_step(const std::string& error, double now);  // every request of the step ends with it

  SessionStore& sessions() { return sessions_; }
  void expire_sessions(double now);  // also part of submit() and plan()
  // Has the session a request that is about to end by its cancellation?
  bool is_ending(const std::string& session_id, const std::string& owner);
  void end_session(const std::string& id, const std::string& owner);

  // A session as it was saved. Throws Error{kTooLong, kInvalidArgument (the id is taken),
  // kResourceExhausted}.
  void restore_session(const std::string& id, const std::string& owner, SessionContent content, double now);

  int32_t max_context() const { return max_context_; }
  size_t num_requests() const { return sequences_.size(); }
  const CacheBlocks& blocks() const { return blocks_; }
  const PrefixCache& prefix_cache() const { return prefix_; }
  const Scheduler& scheduler() const { return scheduler_; }
  void check() const;  // accounting, CHECKs

 private:
  struct Judgement {
    OutputToken token;
    bool stop = false, drop = false;
    std::string error;  // a mask or observer threw
  };

  void check_request(const Request& request) const;
  void check_queue(int64_t num_tokens) const;
  Sequence& enqueue(std::unique_ptr<Sequence> sequence, double now);
  void attach_session(Sequence& sequence, double now);
  static void judge_token(const Sequence& sequence, TokenMask* mask, Judgement& judgement);
  void complete_sequence(Sequence& sequence, const StepSlice& slice, SliceResult& result,
                         Judgement& judgement, double now);
  void finish(Sequence& sequence, FinishReason reason, double now, std::string error = {},
              std::vector<OutputToken> last = {});
  void detach_session(Sequence& sequence, FinishReason reason, double now);
  void end_late_requests(double now);

  EngineConfig config_;
  ModelLimits limits_;
  int32_t max_context_;
  CacheBlocks blocks_;
  PrefixCache prefix_;
  SessionStore sessions_;
  Scheduler scheduler_;
  FairShare fair_share_;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  std::vector<Judgement> judgements_;  // parallel to the planned slices
  bool step_in_flight_ = false;
  double plan_time_ = 0;
  int64_t num_deadlines_ = 0;  // of requests that are here
  uint64_t next_id_ = 1;
};

}  // namespace turgo
