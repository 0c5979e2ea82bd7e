#include "engine/sim.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <random>

#include "core/error.h"
#include "engine/engine_core.h"
#include "engine/fake_runner.h"
#include "engine/stream_event.h"

namespace turgo {
namespace {

// The first broken promise. Kept, not thrown: the engine calls back into the simulation from its middle.
struct Violations {
  std::string first;
  template <class... Args>
  void require(bool ok, fmt::format_string<Args...> format, Args&&... args) {
    if (!ok && first.empty()) first = fmt::format(format, std::forward<Args>(args)...);
  }
};

// Stops after a number of tokens that only the simulation knows.
struct SimObserver : TokenObserver {
  SimObserver(int32_t n, Verdict v) : left(n), verdict(v) {}
  Verdict on_token(const OutputToken&) override { return --left == 0 ? verdict : Verdict::kContinue; }
  int32_t left;
  Verdict verdict;
};

// A form that only the simulation knows: of the tokens about half, which depend on those so far. Ends after
// some tokens, or fails.
struct SimMask : TokenMask {
  explicit SimMask(uint64_t s)
      : state(s | 1), num_left(5 + static_cast<int32_t>(s % 60)), fails(s % 7 == 0) {}
  void fill(std::vector<uint32_t>& allowed) override {
    if (fails && num_left == 3) throw std::runtime_error("simulated");
    for (uint32_t id = 0; id < 29; ++id)
      if (id == state % 29 || FakeModel::mix(state, id) % 2) allowed[0] |= 1u << id;
  }
  void accept(int32_t id) override {
    state = FakeModel::mix(state, static_cast<uint64_t>(id) + 1);
    --num_left;
  }
  bool is_finished() const override { return num_left == 0; }
  uint64_t state;
  int32_t num_left;
  bool fails;
};

// One request as its user sees it.
struct User : EventSink {
  uint64_t id = 0;
  Request request;
  std::vector<int32_t> context;  // history + input
  std::vector<float> embeddings;
  std::vector<int32_t> session_before;
  int32_t stop_after = 0;
  uint64_t mask_seed = 0;  // 0 = none
  bool drop_last = false;
  bool all_logits = false, wants_resume = false;
  bool was_cancelled = false, step_failed = false, began = false;
  bool only_of_owner = false;   // when it came, its owner had no other
  bool waits_for_twin = false;  // another one computes its prompt
  double deadline = 1e300;
  int32_t prompt_length = 0;

  std::vector<int32_t> tokens;
  int64_t num_logits_rows = 0;
  int num_ends = 0;
  Violations* violations = nullptr;
  std::function<void(User&)> on_end;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;

  void push(StreamEvent e) override {
    violations->require(num_ends == 0, "request {}: an event after its last one", id);
    for (auto& t : e.tokens) tokens.push_back(t.token_id);
    if (e.finish == FinishReason::kNone) return;
    ++num_ends;
    finish = e.finish;
    stats = e.stats;
    on_end(*this);
  }
  void push_logits(int32_t first, std::vector<float> rows) override {
    violations->require(first == num_logits_rows, "request {}: logits of row {} after {}", id, first,
                        num_logits_rows);
    num_logits_rows += static_cast<int64_t>(rows.size()) / 31;
    wants_resume = true;
  }
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed) : rng_(seed) {
    config_.max_batch_size = pick(1, 8);
    config_.max_prefill_tokens = chance(30) ? pick(1, 16) : pick(16, 120);
    if (chance(10)) config_.num_tokens_per_iter = pick(1, 64);
    if (chance(10)) config_.max_prefill_iters = pick(1, 8);
    if (chance(10)) config_.step_stretch = 0;
    decode_cost_ = 0.001 * pick(2, 50);
    row_cost_ = decode_cost_ * 0.01 * pick(3, 60);
    key_cost_ = row_cost_ * 0.0005 * pick(0, 4);
    noise_percent_ = pick(0, 8);
    many_owners_ = chance(30);
    late_percent_ = chance(30) ? pick(5, 40) : 0;
    config_.max_queue = pick(2, 20);
    if (chance(20)) config_.max_queue_tokens = pick(10, 1000);
    config_.enable_prefix_caching = chance(70);
    config_.max_sessions = pick(2, 8);
    config_.session_ttl_seconds = chance(30) ? 5 : 0;
    limits_.vocab_size = 31;
    limits_.hidden_size = 2;
    limits_.num_layers = chance(30) ? 0 : pick(1, 40);
    limits_.session_len = pick(70, 600);
    limits_.max_rows = pick(16, 128);
    limits_.max_logits_rows = pick(1, 40);
    limits_.eos_token_ids = {30};
    share_prompts_ = chance(50);
    num_blocks_ = chance(20) ? pick(1, 3) : chance(60) ? pick(4, 12) : pick(12, 40);
    add_windows();
    pressure_ = chance(25);
    stateful_ = chance(40);
    if (stateful_) config_.max_sessions = 8;
    cancel_percent_ = chance(50) ? 0 : pick(1, 20);
    fail_percent_ = chance(70) ? 0 : pick(1, 20);
    poison_ = chance(30);
    runner_ = std::make_unique<FakeRunner>(num_blocks_, limits_);
    if (poison_) runner_->model.poison_token = 29;
    core_ = std::make_unique<EngineCore>(config_, limits_, num_blocks_);
  }

  ~Simulation() { over_ = true; }

  SimReport run() {
    int rounds = pick(50, 300), arrivals = pick(1, 40);
    for (int i = 0; i < rounds && ok(); ++i) round(arrivals);
    // No more arrivals: everything ends in bounded time.
    int64_t left = 1000;
    left += 20 * static_cast<int64_t>(users_.size()) * (limits_.session_len + 10);
    while (core_->num_requests() > 0 && ok()) {
      require(left-- > 0, "{} requests never end", core_->num_requests());
      round(0);
    }
    if (ok()) settle();
    report_.violation = violations_.first;
    report_.num_preemptions = core_->scheduler().num_preemptions();
    return report_;
  }

 private:
  template <class... Args>
  void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
    violations_.require(condition, format, std::forward<Args>(args)...);
  }
  bool ok() const { return violations_.first.empty(); }
  int pick(int low, int high) {
    return low + static_cast<int>(rng_() % static_cast<uint64_t>(high - low + 1));
  }
  bool chance(int percent) { return pick(0, 99) < percent; }
  void trace(uint64_t v) { report_.trace_hash = FakeModel::mix(report_.trace_hash + 1, v); }

  void round(int arrival_percent) {
    now_ += chance(50) ? 0 : pick(1, 10) * decode_cost_;
    if (chance(arrival_percent)) arrive();
    if (chance(cancel_percent_)) cancel_one();
    if (chance(stateful_ ? 15 : 3)) touch_sessions();
    for (auto& [id, u] : users_)
      if (u->wants_resume && chance(40)) u->wants_resume = false, core_->resume(id);

    const StepPlan& plan = core_->plan(now_);
    for (auto& [id, u] : users_)
      require(u->deadline > now_ || u->num_ends > 0, "request {} lives on after its deadline", id);
    check_plan(plan);
    double seconds = run_time(plan);
    if (plan.empty()) {
      for (const Sequence* s : core_->scheduler().running())
        require(s->paused, "request {} is running but nothing is planned", s->id);
      require(core_->scheduler().queued().empty() || !core_->scheduler().running().empty(),
              "request {} waits for nothing",
              core_->scheduler().queued().empty() ? 0 : core_->scheduler().queued().front()->id);
      reap();
      return;
    }
    ++report_.num_steps;
    StepResult result;
    if (chance(fail_percent_)) {
      for (const StepSlice& s : plan.slices) users_.at(s.sequence_id)->step_failed = true;
      if (chance(cancel_percent_)) cancel_one();
      now_ += seconds;
      core_->fail_step("simulated", now_);
    } else {
      runner_->execute(plan, result);
      now_ += seconds;
      if (chance(cancel_percent_)) cancel_one();
      if (chance(arrival_percent)) arrive();
      core_->judge(result);
      core_->complete(result, now_);
    }
    core_->check();
    for (auto& [id, u] : users_)
      require(!u->was_cancelled || u->num_ends > 0, "request {} goes on after its cancel", id);
    reap();
  }

  void check_plan(const StepPlan& plan) {
    int32_t rows = 0;
    std::map<uint64_t, int> seen;
    for (const StepSlice& s : plan.slices) {
      trace(s.sequence_id * 4096 + static_cast<uint64_t>(s.num_rows));
      rows += s.num_rows;
      require(s.num_rows > 0, "an empty slice");
      require(++seen[s.sequence_id] == 1, "request {} twice in a step", s.sequence_id);
      User& u = *users_.at(s.sequence_id);
      if (u.began) continue;
      u.began = true;
      if (share_prompts_) continue;  // waiting for another's blocks may change the order
      for (const Sequence* q : core_->scheduler().queued()) {
        if (q->request.priority > u.request.priority || q->id > u.id || q->started) continue;
        if (users_.at(q->id)->waits_for_twin) continue;
        require(q->request.owner != u.request.owner, "request {} began before {} of its class", u.id, q->id);
        require(!users_.at(q->id)->only_of_owner, "request {} began before {}, the only one of its owner",
                u.id, q->id);
      }
    }
    require(rows == plan.num_rows && rows <= limits_.max_rows, "{} rows planned, the model takes {}", rows,
            limits_.max_rows);
    core_->check();
    check_windows();
  }

  // A running sequence holds its window, the step's rows and the two blocks that they are cut by: no more.
  void check_windows() {
    const CacheBlocks& blocks = core_->blocks();
    for (size_t g = 1; g < blocks.num_groups(); ++g)
      for (const Sequence* s : core_->scheduler().running()) {
        int32_t tokens = blocks.window(g) - 1 + limits_.max_rows, held = s->table.windows[g - 1].num_held();
        require(held <= (tokens + kKvBlockTokens - 1) / kKvBlockTokens + 1,
                "request {} holds {} blocks for a window of {}", s->id, held, blocks.window(g));
      }
  }

  // How long the machine takes for a step, and that the time budget was kept.
  double run_time(const StepPlan& plan) {
    int32_t decodes = 0;
    double rows = 0, decode_keys = 0, prefill_keys = 0;
    for (size_t i = 0; i < plan.slices.size(); ++i) {
      const StepSlice& s = plan.slices[i];
      double keys = (s.first_index + s.num_rows / 2.0) * s.num_rows;
      double share = plan.layer_share(i, limits_.num_layers);
      if (s.num_rows == 1 && s.sampler && s.first_index >= users_.at(s.sequence_id)->prompt_length)
        ++decodes, decode_keys += keys;
      else
        rows += share * s.num_rows, prefill_keys += share * keys;
    }
    if (plan.layered) ++report_.num_layered_steps;
    bool least = plan.layered ? plan.slices[0].num_rows == 1 && rows * limits_.num_layers < 1.5 : rows == 1;
    double alone = decode_cost_ * (1 + 0.02 * decodes) + key_cost_ * decode_keys;
    double seconds = alone + row_cost_ * rows + key_cost_ * prefill_keys;
    bool paced = config_.step_stretch > 0 && !config_.num_tokens_per_iter && !config_.max_prefill_iters;
    bool as_planned = core_->scheduler().planned_work().num_decodes == decodes;  // none has just come back
    if (paced && as_planned && decodes > 0 && rows > 0 && !least && num_decode_steps_ >= 20 &&
        num_prefill_steps_ >= 20) {
      ++report_.num_paced_steps;
      report_.num_slow_steps += seconds > 3 * alone;
      require(seconds <= 8 * alone, "a step of {} decodes and {:.2f} rows takes {:.1f} times its decodes",
              decodes, rows, seconds / alone);
    }
    (rows > 0 ? num_prefill_steps_ : num_decode_steps_) += 1;
    return seconds * (1 + 0.01 * pick(0, noise_percent_));
  }

  // A request, or several at once that ask for answers to the same prompt (n > 1).
  void arrive() {
    std::shared_ptr<User> u = make_user();
    if (!submit(u) || u->all_logits || !u->request.session_id.empty() || !chance(10)) return;
    for (int more = pick(1, 3); more > 0; --more) {
      auto copy = std::make_shared<User>(*u);
      copy->request.sampling.seed = rng_();
      copy->only_of_owner = false;
      copy->waits_for_twin = true;
      copy->deadline = 1e300;
      install(*copy);
      submit(copy);
    }
  }

  // Observer and mask of this request alone.
  static void install(User& u) {
    using enum TokenObserver::Verdict;
    if (u.stop_after > 0)
      u.request.observer = std::make_shared<SimObserver>(u.stop_after, u.drop_last ? kDropAndStop : kStop);
    if (u.mask_seed > 0) u.request.mask = std::make_shared<SimMask>(u.mask_seed);
  }

  std::shared_ptr<User> make_user() {
    auto u = std::make_shared<User>();
    u->violations = &violations_;
    u->on_end = [this](User& user) {
      if (!over_) check_session(user);
    };
    Request& r = u->request;
    int32_t n = pressure_    ? pick(1, 40)
                : chance(20) ? pick(62, 66)
                : chance(10) ? pick(1, limits_.session_len + 5)
                             : pick(0, 200);
    uint64_t seed = share_prompts_ ? static_cast<uint64_t>(pick(0, 3)) : rng_();
    std::mt19937_64 text(seed);
    for (int32_t i = 0; i < n; ++i) r.input_ids.push_back(static_cast<int32_t>(text() % (poison_ ? 29 : 30)));
    if (poison_ && n > 0 && chance(5)) r.input_ids[static_cast<size_t>(pick(0, n - 1))] = 29;
    if (n > 20 && chance(20)) add_image(r);
    r.max_new_tokens = chance(10) ? pick(0, 1) : chance(30) ? pick(100, 400) : pick(1, 150);
    r.ignore_eos = chance(70);
    r.sampling.temperature = chance(50) ? 0.0f : 1.0f;
    r.sampling.seed = rng_();
    if (poison_) r.sampling.logit_bias = {{29, -1e9f}};
    if (chance(20)) r.sampling.repetition_penalty = 1.2f;
    if (chance(20)) r.sampling.min_new_tokens = std::min(r.max_new_tokens, pick(0, 20));
    if (chance(15)) r.stop_token_ids = {pick(0, 28)};
    r.priority = chance(80) ? 0 : pick(-1, 1);
    r.owner = chance(stateful_ ? 95 : 70) ? "" : "other";
    if (many_owners_ && chance(30)) r.owner = std::to_string(pick(0, 50));
    u->only_of_owner = std::none_of(users_.begin(), users_.end(), [&](const auto& other) {
      return other.second->num_ends == 0 && other.second->request.owner == r.owner;
    });
    if (chance(late_percent_)) r.max_seconds = decode_cost_ * pick(1, 100);
    if (chance(20)) {
      u->stop_after = pick(1, 40);
      u->drop_last = chance(50);
    }
    if (chance(15)) u->mask_seed = rng_() | 1;
    install(*u);
    if (chance(stateful_ ? 90 : 30)) join_session(*u);
    u->context.insert(u->context.end(), r.input_ids.begin(), r.input_ids.end());
    if (pressure_) {  // short prompts, long answers: all are let in, then they outgrow the pool
      r.max_new_tokens = pick(100, 400);
      r.ignore_eos = true;
      r.stop_token_ids.clear();
    }
    u->embeddings.insert(u->embeddings.end(), r.embeddings.begin(), r.embeddings.end());
    return u;
  }

  bool submit(const std::shared_ptr<User>& u) {
    Request& r = u->request;
    try {
      if (chance(3) && r.embeddings.empty()) {
        u->all_logits = true;
        u->only_of_owner = false;
        r.owner.clear();
        r.session_id.clear();
        r.max_seconds = 0;
        u->context = r.input_ids;
        r.priority = 0;
        u->id = core_->submit_logits(r.input_ids, u, now_);
      } else {
        u->id = core_->submit(r, u, now_);
      }
    } catch (const Error&) {
      return false;  // refused
    }
    if (r.max_seconds > 0) u->deadline = now_ + r.max_seconds;
    u->prompt_length = static_cast<int32_t>(u->context.size());
    ++report_.num_requests;
    trace(u->id);
    users_[u->id] = u;
    return true;
  }

  void add_windows() {
    for (int n = chance(40) ? pick(1, 2) : 0; n-- > 0;) {
      int32_t window = chance(30) ? pick(1, 5) : pick(6, 200);
      limits_.windows.push_back({window, min_window_blocks(window) + pick(0, 10)});
    }
  }

  void add_image(Request& r) {
    int kind = pick(0, 2);
    for (size_t i = 5; i < 15; ++i) {
      r.input_ids[i] = -1;
      r.embeddings.insert(r.embeddings.end(), {static_cast<float>(kind), static_cast<float>(i)});
    }
    if (chance(80)) r.embeddings_hash = std::to_string(kind);
  }

  void join_session(User& u) {
    Request& r = u.request;
    r.session_id = session_name();
    core_->expire_sessions(now_);
    Session* s = core_->sessions().find(r.session_id, r.owner);
    if (!s) return;
    u.session_before = s->tokens;
    auto length = static_cast<int>(s->tokens.size());
    r.step = chance(70) ? -1 : pick(0, length);
    if (chance(5)) r.step = 0;
    auto keep = s->tokens.begin() + (r.step < 0 ? length : r.step);
    u.context.assign(s->tokens.begin(), keep);
    auto rows = std::count_if(u.context.begin(), u.context.end(), [](int32_t t) { return t < 0; });
    if (!s->busy) u.embeddings.assign(s->embeddings.values.begin(), s->embeddings.values.begin() + rows * 2);
  }

  void cancel_one() {
    if (users_.empty()) return;
    auto it = std::next(users_.begin(), pick(0, static_cast<int>(users_.size()) - 1));
    it->second->was_cancelled = true;
    core_->cancel(it->first, now_);
    if (chance(20)) core_->cancel(it->first, now_);
  }

  void touch_sessions() {
    std::string id = session_name(), to = session_name();
    const Session* s = core_->sessions().find(id, "");
    if (s && chance(30)) saved_[id] = {s->tokens, s->embeddings};
    try {
      if (saved_.count(id) && chance(20)) {
        core_->restore_session(to, "", saved_[id], now_);
        require(core_->sessions().get(to, "").tokens == saved_[id].tokens, "session {} lost tokens", id);
      } else if (chance(stateful_ ? 20 : 50)) {
        core_->end_session(id, "");
      } else {
        core_->sessions().fork(id, to, "", now_);
      }
    } catch (const Error&) {
    }
  }
  std::string session_name() { return std::string(1, static_cast<char>('a' + pick(0, stateful_ ? 3 : 5))); }

  // What the model alone gives to this request.
  std::vector<int32_t> expected(const User& u, FinishReason& finish) const {
    const Request& r = u.request;
    const FakeModel& model = runner_->model;
    std::vector<int32_t> stop = r.stop_token_ids, out;
    if (!r.ignore_eos) stop.push_back(30);
    Sampler sampler(r.sampling, stop, limits_.vocab_size);
    sampler.add_prompt(u.context);
    std::vector<uint64_t> values;
    const float* embedding = u.embeddings.data();
    auto position = static_cast<int32_t>(u.context.size());
    for (int32_t i = 0; i < position; ++i) {
      int32_t id = u.context[static_cast<size_t>(i)];
      values.push_back(model.value(id, i, embedding));
      if (id < 0) embedding += 2;
    }
    int32_t max_new = std::min(r.max_new_tokens, core_->max_context() - position);
    finish = FinishReason::kLength;
    SampleScratch scratch;
    SimMask mask(u.mask_seed);
    StepSlice slice;
    slice.sampler = &sampler;
    slice.mask = u.mask_seed > 0 ? &mask : nullptr;
    while (static_cast<int32_t>(out.size()) < max_new) {
      auto row = model.logits(model.state(values));
      slice.sample_position = position;
      SampledToken t = sample_slice(slice, row, scratch);
      if (t.error) {
        finish = FinishReason::kError;
        break;
      }
      finish = FinishReason::kStop;
      if (std::find(stop.begin(), stop.end(), t.token_id) != stop.end()) break;
      mask.accept(t.token_id);
      bool last = u.stop_after > 0 && static_cast<int32_t>(out.size()) + 1 == u.stop_after;
      if (last && u.drop_last) break;
      last = last || (slice.mask && mask.is_finished());
      out.push_back(t.token_id);
      if (last) break;
      finish = FinishReason::kLength;
      sampler.add_generated(t.token_id);
      values.push_back(model.value(t.token_id, position++, nullptr));
    }
    return out;
  }

  void reap() {
    for (auto it = users_.begin(); it != users_.end();) {
      User& u = *it->second;
      if (u.num_ends == 0) {
        ++it;
        continue;
      }
      judge_end(u);
      trace(u.id * 8 + static_cast<uint64_t>(u.finish));
      for (int32_t t : u.tokens) trace(static_cast<uint64_t>(t));
      report_.num_cached_tokens += u.stats.cached_tokens;
      it = users_.erase(it);
    }
  }

  static bool ended_early(const User& u) {
    return u.finish == FinishReason::kCancelled || u.finish == FinishReason::kTimeout;
  }

  void judge_end(const User& u) {
    if (u.finish == FinishReason::kCancelled) {
      ++report_.num_cancelled;
      require(u.was_cancelled, "request {} was cancelled by nobody", u.id);
    }
    if (u.finish == FinishReason::kTimeout) {
      ++report_.num_timeouts;
      require(u.deadline <= now_, "request {} was ended before its deadline", u.id);
    }
    if (u.all_logits) {
      if (u.finish == FinishReason::kLength)
        require(u.num_logits_rows == static_cast<int64_t>(u.context.size()),
                "request {}: {} rows of logits for {}", u.id, u.num_logits_rows, u.context.size());
      return;
    }
    FinishReason finish{};
    auto tokens = expected(u, finish);
    bool cut = ended_early(u) || (u.step_failed && u.finish == FinishReason::kError);
    if (u.finish == FinishReason::kError) ++report_.num_failed;
    if (cut) {
      require(u.tokens.size() <= tokens.size(), "request {}: {} tokens, {} exist", u.id, u.tokens.size(),
              tokens.size());
      tokens.resize(u.tokens.size());
    } else {
      require(u.finish == finish, "request {} ended with reason {}, expected {}", u.id,
              static_cast<int>(u.finish), static_cast<int>(finish));
    }
    require(u.tokens == tokens, "request {} received tokens that are not its own", u.id);
  }

  void check_session(const User& u) {
    if (u.request.session_id.empty()) return;
    const Session* s = core_->sessions().find(u.request.session_id, u.request.owner);
    bool unchanged = u.finish == FinishReason::kError || (ended_early(u) && !u.began);
    std::vector<int32_t> want = u.session_before;
    if (!unchanged) {
      want = u.context;
      want.insert(want.end(), u.tokens.begin(), u.tokens.end());
    }
    require((s ? s->tokens : std::vector<int32_t>{}) == want,
            "request {}: session {} is not what its turns made it", u.id, u.request.session_id);
    require(!s || !s->busy, "session {} is busy after its request", u.request.session_id);
  }

  // Everything has ended: all blocks are free but those that sessions and the prefix cache keep.
  void settle() {
    require(users_.empty(), "{} requests were forgotten", users_.size());
    require(core_->blocks().num_active() == 0, "{} blocks stay active", core_->blocks().num_active());
    std::vector<std::string> owners = {"", "other"};
    for (int i = 0; i <= 50; ++i) owners.push_back(std::to_string(i));
    for (const std::string& owner : owners)
      for (const Session* s : core_->sessions().list(owner)) core_->end_session(s->id, owner);
    core_->check();
    auto cached = static_cast<size_t>(core_->blocks().num_cached());
    require(cached == core_->prefix_cache().size(), "{} cached blocks, the prefix cache knows {}", cached,
            core_->prefix_cache().size());
    for (size_t g = 1; g < core_->blocks().num_groups(); ++g) {
      const BlockManager& group = core_->blocks().group(g);
      require(group.num_active() == 0, "{} window blocks stay active", group.num_active());
      require(static_cast<size_t>(group.num_cached()) == core_->prefix_cache().num_window_blocks(g),
              "{} cached window blocks, the prefix cache knows {}", group.num_cached(),
              core_->prefix_cache().num_window_blocks(g));
    }
    require(core_->blocks().num_free() + core_->blocks().num_cached() == num_blocks_, "{} + {} blocks of {}",
            core_->blocks().num_free(), core_->blocks().num_cached(), num_blocks_);
  }

  std::mt19937_64 rng_;
  EngineConfig config_;
  ModelLimits limits_;
  int32_t num_blocks_ = 0;
  bool share_prompts_ = false, poison_ = false, pressure_ = false, stateful_ = false;
  bool many_owners_ = false;
  int cancel_percent_ = 0, fail_percent_ = 0, late_percent_ = 0, noise_percent_ = 0;
  double decode_cost_ = 0, row_cost_ = 0, key_cost_ = 0;
  int num_decode_steps_ = 0, num_prefill_steps_ = 0;
  double now_ = 1;
  std::unique_ptr<FakeRunner> runner_;
  std::unique_ptr<EngineCore> core_;
  std::map<uint64_t, std::shared_ptr<User>> users_;
  std::map<std::string, SessionContent> saved_;  // sessions of owner ""
  SimReport report_;
  Violations violations_;
  bool over_ = false;
};

}  // namespace

SimReport simulate(uint64_t seed) {
  return Simulation(seed).run();
}

}  // namespace turgo
