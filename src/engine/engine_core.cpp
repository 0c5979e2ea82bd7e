#include "engine/engine_core.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "engine/stream_event.h"

namespace turgo {
namespace {

SchedulerConfig scheduler_config(const EngineConfig& config, const ModelLimits& limits) {
  SchedulerConfig s;
  s.max_step_rows = std::min(std::max(config.max_prefill_tokens, config.max_batch_size), limits.max_rows);
  s.max_batch_size = std::min(config.max_batch_size, s.max_step_rows);
  s.max_logits_rows = limits.max_logits_rows > 0 ? limits.max_logits_rows : s.max_step_rows;
  s.hidden_size = limits.hidden_size;
  s.num_layers = limits.num_layers;
  s.num_tokens_per_iter = config.num_tokens_per_iter;
  s.max_prefill_iters = config.max_prefill_iters;
  s.step_stretch = config.step_stretch;
  s.enable_prefix_caching = config.enable_prefix_caching;
  return s;
}

int32_t context_limit(const EngineConfig& config, const ModelLimits& limits, int32_t num_blocks) {
  int64_t context = config.session_len > 0 ? config.session_len : limits.session_len;
  context = std::min<int64_t>(context, limits.session_len);
  return static_cast<int32_t>(std::min(context, int64_t{num_blocks} * kKvBlockTokens));
}

void check_ids(const std::vector<int32_t>& ids, const char* what, int32_t low, int32_t vocab_size) {
  for (int32_t id : ids)
    if (id < low || id >= vocab_size)
      fail(ErrorCode::kInvalidArgument, "{}: token id {} is not in 0 to {}", what, id, vocab_size - 1);
}

}  // namespace

EngineCore::EngineCore(const EngineConfig& config, const ModelLimits& limits, int32_t num_blocks)
    : config_(config),
      limits_(limits),
      max_context_(context_limit(config, limits, num_blocks)),
      blocks_(num_blocks, limits.windows, scheduler_config(config, limits).max_step_rows),
      prefix_(blocks_),
      sessions_(blocks_, config.max_sessions),
      scheduler_(scheduler_config(config, limits), blocks_, prefix_) {
  if (config.max_batch_size < 1 || config.max_prefill_tokens < 1)
    fail(ErrorCode::kInvalidArgument,
         "max_batch_size and max_prefill_tokens: expected 1 or more, got {} and {}", config.max_batch_size,
         config.max_prefill_tokens);
  if (config.num_tokens_per_iter < 0 || config.max_prefill_iters < 0)
    fail(ErrorCode::kInvalidArgument,
         "num_tokens_per_iter and max_prefill_iters: expected 0 (chosen from measured times) or more, got {} "
         "and {}",
         config.num_tokens_per_iter, config.max_prefill_iters);
  if (!(config.step_stretch == 0 || (config.step_stretch > 1 && std::isfinite(config.step_stretch))))
    fail(ErrorCode::kInvalidArgument, "step_stretch: expected 0 (no bound) or more than 1, got {}",
         config.step_stretch);
  if (config.session_len < 0)
    fail(ErrorCode::kInvalidArgument, "session_len: expected 0 (the model's context) or more, got {}",
         config.session_len);
}

EngineCore::~EngineCore() {
  for (auto& [id, s] : sequences_) s->in_flight = false;
  step_in_flight_ = false;
  cancel_all(0);
}

void EngineCore::check_request(const Request& r) const {
  validate(r.sampling, limits_.vocab_size);
  check_ids(r.stop_token_ids, "stop_token_ids", 0, limits_.vocab_size);
  check_ids(r.input_ids, "input_ids", INT32_MIN, limits_.vocab_size);
  auto rows = static_cast<size_t>(
      std::count_if(r.input_ids.begin(), r.input_ids.end(), [](int32_t id) { return id < 0; }));
  if (r.embeddings.size() != rows * static_cast<size_t>(limits_.hidden_size))
    fail(ErrorCode::kInvalidArgument, "embeddings: expected {} rows of {} for the ids below 0, got {} values",
         rows, limits_.hidden_size, r.embeddings.size());
  if (r.max_new_tokens < 0)
    fail(ErrorCode::kInvalidArgument, "max_new_tokens: expected 0 or more, got {}", r.max_new_tokens);
  if (r.sampling.min_new_tokens > r.max_new_tokens)
    fail(ErrorCode::kInvalidArgument, "min_new_tokens: expected at most max_new_tokens = {}, got {}",
         r.max_new_tokens, r.sampling.min_new_tokens);
  if (!(r.max_seconds >= 0) || !std::isfinite(r.max_seconds))
    fail(ErrorCode::kInvalidArgument, "max_seconds: expected 0 (no limit) or more, got {}", r.max_seconds);
}

void EngineCore::check_queue(int64_t num_tokens) const {
  size_t waiting = scheduler_.queued().size();
  if (waiting >= static_cast<size_t>(std::max(config_.max_queue, 1)))
    fail(ErrorCode::kResourceExhausted,
         "{} requests are waiting, the most that the queue holds; try again later", waiting);
  int64_t tokens = scheduler_.num_queued_tokens();
  if (waiting > 0 && tokens + num_tokens > config_.max_queue_tokens)
    fail(ErrorCode::kResourceExhausted,
         "requests of {} tokens are waiting, the queue holds {}; there is no room for {} more, try again "
         "later",
         tokens, config_.max_queue_tokens, num_tokens);
}

uint64_t EngineCore::submit(Request request, std::shared_ptr<EventSink> sink, double now) {
  check_request(request);
  expire_sessions(now);
  Session* session = nullptr;
  int32_t history = 0;
  if (!request.session_id.empty()) {
    session = sessions_.find(request.session_id, request.owner);
    if (session && session->busy)
      fail(ErrorCode::kInvalidArgument,
           "session '{}' is answering another request; wait for its end or cancel it",
           quote(request.session_id));
    history = session ? static_cast<int32_t>(session->tokens.size()) : 0;
  }
  if (request.step < -1 || request.step > history)
    fail(ErrorCode::kInvalidArgument, "step: expected -1 (the end) or 0 to the session's length {}, got {}",
         history, request.step);
  if (request.step >= 0) history = request.step;

  int64_t total = int64_t{history} + static_cast<int64_t>(request.input_ids.size());
  if (total == 0) fail(ErrorCode::kInvalidArgument, "input_ids: expected at least one token, got none");
  if (total > max_context_)
    fail(ErrorCode::kTooLong,
         "the prompt has {} tokens ({} of history, {} new), the context holds {}; shorten it", total, history,
         request.input_ids.size(), max_context_);
  check_queue(total);

  auto s = std::make_unique<Sequence>();
  if (!request.session_id.empty())
    s->session = session ? session : &sessions_.create(request.session_id, request.owner, now);
  s->request = std::move(request);
  s->sink = std::move(sink);
  s->stats.history_tokens = history;
  s->stats.input_tokens = static_cast<int32_t>(s->request.input_ids.size());
  if (s->session) attach_session(*s, now);
  const Request& r = s->request;
  s->tokens.insert(s->tokens.end(), r.input_ids.begin(), r.input_ids.end());
  if (!r.embeddings.empty()) {
    auto& e = s->embeddings;
    e.spans.push_back({static_cast<int32_t>(e.values.size()) / limits_.hidden_size, r.embeddings_hash});
    e.values.insert(e.values.end(), r.embeddings.begin(), r.embeddings.end());
  }
  s->num_prompt = s->num_tokens();
  s->max_new = std::min(r.max_new_tokens, max_context_ - s->num_prompt);
  s->stop_ids = r.stop_token_ids;
  if (!r.ignore_eos)
    s->stop_ids.insert(s->stop_ids.end(), limits_.eos_token_ids.begin(), limits_.eos_token_ids.end());
  s->sampler = Sampler(r.sampling, s->stop_ids, limits_.vocab_size);
  s->sampler.add_prompt(s->tokens);
  return enqueue(std::move(s), now).id;
}

uint64_t EngineCore::submit_logits(std::vector<int32_t> ids, std::shared_ptr<EventSink> sink, double now,
                                   bool as_hidden) {
  Request r;
  r.input_ids = std::move(ids);
  r.max_new_tokens = 0;
  check_ids(r.input_ids, "token ids", 0, limits_.vocab_size);
  check_request(r);
  if (r.input_ids.empty()) fail(ErrorCode::kInvalidArgument, "token ids: expected at least one, got none");
  if (r.input_ids.size() > static_cast<size_t>(max_context_))
    fail(ErrorCode::kTooLong, "got {} tokens, the context holds {}; use shorter windows", r.input_ids.size(),
         max_context_);
  check_queue(static_cast<int64_t>(r.input_ids.size()));
  auto s = std::make_unique<Sequence>();
  s->request = std::move(r);
  s->sink = std::move(sink);
  s->tokens = s->request.input_ids;
  s->num_prompt = s->stats.input_tokens = s->num_tokens();
  s->all_logits = true;
  s->as_hidden = as_hidden;
  return enqueue(std::move(s), now).id;
}

Sequence& EngineCore::enqueue(std::unique_ptr<Sequence> sequence, double now) {
  Sequence& s = *sequence;
  s.id = next_id_++;
  s.submit_time = now;
  s.fair_tag = fair_share_.begin(s.request.owner, int64_t{s.stats.input_tokens} + s.max_new + 1);
  if (s.request.max_seconds > 0) {
    s.deadline = now + s.request.max_seconds;
    ++num_deadlines_;
  }
  s.name_space = fmt::format("{}:{}{}", s.request.owner.size(), s.request.owner, limits_.cache_key);
  sequences_.emplace(s.id, std::move(sequence));
  scheduler_.add(&s);
  return s;
}

// The sequence takes the session's blocks and a copy of its tokens up to the step; the session itself changes
// only when the request ends.
void EngineCore::attach_session(Sequence& s, double now) {
  Session& session = *s.session;
  CHECK(!session.busy);
  session.busy = &s;
  session.last_used = now;
  int32_t step = s.stats.history_tokens;
  s.tokens.assign(session.tokens.begin(), session.tokens.begin() + step);
  s.table = std::move(session.table);
  session.table = {};
  s.max_reuse = step;
  if (session.embeddings.values.empty()) return;
  s.embeddings = session.embeddings;
  int32_t rows = s.num_embeddings_before(step);
  s.embeddings.values.resize(static_cast<size_t>(rows) * static_cast<size_t>(limits_.hidden_size));
  std::erase_if(s.embeddings.spans, [&](const auto& span) { return span.first_row >= rows; });
}

void EngineCore::detach_session(Sequence& s, FinishReason reason, double now) {
  Session& session = *s.session;
  session.busy = nullptr;
  session.last_used = now;
  bool keep = s.started && reason != FinishReason::kError;
  if (keep) {
    session.tokens = std::move(s.tokens);
    session.embeddings = std::move(s.embeddings);
  } else {
    // As it was before the request; of its blocks, what both have in common.
    blocks_.truncate(s.table,
                     s.started ? s.stats.history_tokens : static_cast<int32_t>(session.tokens.size()));
  }
  session.table = std::move(s.table);
  s.table = {};
  if (session.tokens.empty()) sessions_.erase(session);
}

void EngineCore::finish(Sequence& s, FinishReason reason, double now, std::string error,
                        std::vector<OutputToken> last) {
  scheduler_.remove(&s);
  if (reason == FinishReason::kError)  // what made its row bad may be in what it cached
    for (int32_t id : s.table.ids)
      if (s.started) prefix_.forget(id);
  StreamEvent event;
  event.finish = reason;
  event.error = std::move(error);
  event.tokens = std::move(last);
  event.stats = s.stats;
  double first = s.first_token_time > 0 ? s.first_token_time : now;
  event.stats.queue_seconds = (s.started ? s.admit_time : now) - s.submit_time;
  event.stats.prefill_seconds = s.started ? first - s.admit_time : 0;
  event.stats.ttft_seconds = first - s.submit_time;
  event.stats.decode_seconds = now - first;
  if (s.session)
    detach_session(s, reason, now);
  else
    blocks_.release(s.table);
  fair_share_.end(s.request.owner);
  if (s.request.max_seconds > 0) --num_deadlines_;
  auto sink = std::move(s.sink);
  sequences_.erase(s.id);
  if (sink) sink->push(std::move(event));
}

void EngineCore::resume(uint64_t id) {
  auto it = sequences_.find(id);
  if (it != sequences_.end()) it->second->paused = false;
}

void EngineCore::cancel(uint64_t id, double now) {
  auto it = sequences_.find(id);
  if (it == sequences_.end()) return;
  Sequence& s = *it->second;
  if (s.in_flight)
    s.cancelled = true;
  else
    finish(s, FinishReason::kCancelled, now);
}

void EngineCore::cancel_all(double now) {
  std::vector<uint64_t> ids;
  for (const auto& [id, s] : sequences_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  for (uint64_t id : ids) cancel(id, now);
}

void EngineCore::end_late_requests(double now) {
  if (num_deadlines_ == 0) return;
  std::vector<Sequence*> late;
  for (const auto& [id, s] : sequences_)
    if (s->deadline <= now) late.push_back(s.get());
  std::sort(late.begin(), late.end(), [](const Sequence* a, const Sequence* b) { return a->id < b->id; });
  for (Sequence* s : late) finish(*s, FinishReason::kTimeout, now);
}

double EngineCore::next_deadline() const {
  double next = std::numeric_limits<double>::infinity();
  if (num_deadlines_ > 0)
    for (const auto& [id, s] : sequences_) next = std::min(next, s->deadline);
  return next;
}

void EngineCore::expire_sessions(double now) {
  if (config_.session_ttl_seconds > 0) sessions_.expire(now - config_.session_ttl_seconds);
}

const StepPlan& EngineCore::plan(double now) {
  CHECK(!step_in_flight_);
  end_late_requests(now);
  expire_sessions(now);
  const StepPlan& plan = scheduler_.plan(now);
  plan_time_ = now;
  for (Sequence* s : scheduler_.planned()) s->in_flight = true, fair_share_.serve(s->fair_tag);
  step_in_flight_ = !plan.empty();
  return plan;
}

void EngineCore::judge(StepResult& result) {
  const auto& planned = scheduler_.planned();
  const auto& slices = scheduler_.current_plan().slices;
  judgements_.clear();
  judgements_.resize(planned.size());
  for (size_t i = 0; i < planned.size(); ++i) {
    SampledToken& sampled = result.slices[i].token;
    if (!slices[i].sampler || sampled.error) continue;
    Judgement& j = judgements_[i];
    j.token = {sampled.token_id, sampled.logprob, std::move(sampled.top_logprobs)};
    try {
      judge_token(*planned[i], slices[i].mask, j);
    } catch (const std::exception& e) {
      j.error = *e.what() ? e.what() : "the token mask or observer failed";
    }
  }
}

void EngineCore::judge_token(const Sequence& s, TokenMask* mask, Judgement& j) {
  if (std::find(s.stop_ids.begin(), s.stop_ids.end(), j.token.token_id) != s.stop_ids.end()) {
    j.stop = j.drop = true;
    return;
  }
  if (mask) {
    mask->accept(j.token.token_id);
    j.stop = mask->is_finished();
  }
  if (!s.request.observer) return;
  auto verdict = s.request.observer->on_token(j.token);
  j.stop = j.stop || verdict != TokenObserver::Verdict::kContinue;
  j.drop = verdict == TokenObserver::Verdict::kDropAndStop;
}

void EngineCore::complete(StepResult& result, double now) {
  CHECK(step_in_flight_);
  step_in_flight_ = false;
  scheduler_.advance(now - plan_time_);
  std::vector<Sequence*> planned = scheduler_.planned();
  const StepPlan& plan = scheduler_.current_plan();
  for (size_t i = 0; i < planned.size(); ++i) {
    planned[i]->in_flight = false;
    if (planned[i]->cancelled)
      finish(*planned[i], FinishReason::kCancelled, now);
    else if (!plan.is_unfinished(i))
      complete_sequence(*planned[i], plan.slices[i], result.slices[i], judgements_[i], now);
  }
}

void EngineCore::complete_sequence(Sequence& s, const StepSlice& slice, SliceResult& result, Judgement& j,
                                   double now) {
  bool computed_all = s.num_pending() == 0;
  if (s.all_logits) {
    auto width = static_cast<size_t>(s.as_hidden ? limits_.hidden_size : limits_.vocab_size);
    int32_t end = slice.first_index + slice.num_rows, skip = std::max(s.num_delivered - slice.first_index, 0);
    if (skip < slice.num_rows) {
      result.logits.erase(result.logits.begin(),
                          result.logits.begin() + static_cast<ptrdiff_t>(skip * width));
      s.num_delivered = end;
      s.paused = !computed_all;
      s.sink->push_logits(slice.first_index + skip, std::move(result.logits));
    }
    if (computed_all) finish(s, FinishReason::kLength, now);
    return;
  }
  if (!slice.sampler) {
    if (computed_all) finish(s, FinishReason::kLength, now);  // nothing to generate
    return;
  }
  if (result.token.error) return finish(s, FinishReason::kError, now, result.token.error);
  if (!j.error.empty()) return finish(s, FinishReason::kError, now, j.error);
  if (s.first_token_time == 0) s.first_token_time = now;
  std::vector<OutputToken> output;
  if (!j.drop) {
    s.tokens.push_back(j.token.token_id);
    s.sampler.add_generated(j.token.token_id);
    output.push_back(std::move(j.token));
  }
  if (j.stop) return finish(s, FinishReason::kStop, now, {}, std::move(output));
  if (s.num_generated() >= s.max_new) return finish(s, FinishReason::kLength, now, {}, std::move(output));
  StreamEvent event;
  event.tokens = std::move(output);
  s.sink->push(std::move(event));
}

void EngineCore::fail_step(const std::string& error, double now) {
  CHECK(step_in_flight_);
  step_in_flight_ = false;
  std::vector<Sequence*> planned = scheduler_.planned();
  for (Sequence* s : planned) {
    s->in_flight = false;
    // The copy of a shared block may not have happened.
    blocks_.truncate(s->table, s->table.num_tokens / kKvBlockTokens * kKvBlockTokens);
    finish(*s, s->cancelled ? FinishReason::kCancelled : FinishReason::kError, now, error);
  }
}

bool EngineCore::is_ending(const std::string& session_id, const std::string& owner) {
  Session* session = sessions_.find(session_id, owner);
  return session && session->busy && session->busy->cancelled;
}

void EngineCore::end_session(const std::string& id, const std::string& owner) {
  Session& session = sessions_.get(id, owner);
  if (session.busy)
    fail(ErrorCode::kInvalidArgument, "session '{}' is answering a request; cancel it first", quote(id));
  sessions_.erase(session);
}

void EngineCore::restore_session(const std::string& id, const std::string& owner, SessionContent content,
                                 double now) {
  if (content.tokens.size() > static_cast<size_t>(max_context_))
    fail(ErrorCode::kTooLong, "the saved session has {} tokens, the context holds {}", content.tokens.size(),
         max_context_);
  if (content.tokens.empty()) fail(ErrorCode::kCorrupt, "the saved session is empty");
  if (sessions_.find(id, owner))
    fail(ErrorCode::kInvalidArgument, "session '{}' exists already; end it first or load under another id",
         quote(id));
  Session& session = sessions_.create(id, owner, now);
  session.tokens = std::move(content.tokens);
  session.embeddings = std::move(content.embeddings);
}

void EngineCore::check() const {
  blocks_.check();
}

}  // namespace turgo
