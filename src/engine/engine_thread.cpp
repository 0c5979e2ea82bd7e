#include "engine/engine_thread.h"

#include <algorithm>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "engine/engine_core.h"
#include "engine/session_file.h"
#include "engine/stream_queue.h"

namespace turgo {
namespace {

// What streams need of their engine; outlives it as long as a stream does.
struct Shared {
  std::mutex mutex;                  // guards all below
  std::condition_variable work;      // there may be something to plan
  std::condition_variable step_end;  // a step was completed
  EngineCore* core = nullptr;        // null once the engine is gone
  bool stop = false;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class QueueStream : public Stream {
 public:
  QueueStream(std::shared_ptr<Shared> shared, std::shared_ptr<StreamQueue> queue, uint64_t id)
      : shared_(std::move(shared)), queue_(std::move(queue)), id_(id) {}
  ~QueueStream() override { cancel(); }
  std::optional<StreamEvent> next(std::optional<std::chrono::milliseconds> timeout) override {
    return queue_->next(timeout);
  }
  void cancel() override {
    {
      std::lock_guard lock(shared_->mutex);
      if (!shared_->core) return;
      shared_->core->cancel(id_, seconds_now());
    }
    shared_->work.notify_one();
  }
  void set_listener(std::function<void()> listener) override { queue_->set_listener(std::move(listener)); }

 private:
  std::shared_ptr<Shared> shared_;
  std::shared_ptr<StreamQueue> queue_;
  uint64_t id_;
};

class ThreadedEngine : public Engine {
 public:
  ThreadedEngine(std::unique_ptr<ModelRunner> runner, int32_t num_blocks, const EngineConfig& config,
                 std::shared_ptr<Decoder> decoder)
      : runner_(std::move(runner)),
        config_(config),
        decoder_(std::move(decoder)),
        core_(config, runner_->limits(), num_blocks),
        shared_(std::make_shared<Shared>()) {
    config_.session_len = core_.max_context();
    shared_->core = &core_;
    thread_ = std::thread([this] { loop(); });
  }

  ~ThreadedEngine() override {
    {
      std::lock_guard lock(shared_->mutex);
      shared_->stop = true;
    }
    shared_->work.notify_one();
    thread_.join();
  }

  std::unique_ptr<Stream> submit(Request request) override {
    auto queue = std::make_shared<StreamQueue>();
    uint64_t id = 0;
    {
      std::unique_lock lock(shared_->mutex);
      // A cancelled request lets go of its session at the end of the step that computes it.
      shared_->step_end.wait(lock, [&] { return !core_.is_ending(request.session_id, request.owner); });
      id = core_.submit(std::move(request), queue, seconds_now());
    }
    shared_->work.notify_one();
    return std::make_unique<QueueStream>(shared_, std::move(queue), id);
  }

  std::vector<SessionInfo> list_sessions(const std::string& owner) override {
    std::lock_guard lock(shared_->mutex);
    core_.expire_sessions(seconds_now());
    std::vector<SessionInfo> list;
    for (const Session* s : core_.sessions().list(owner))
      list.push_back({s->id, s->owner, static_cast<int32_t>(s->tokens.size())});
    return list;
  }

  std::vector<int32_t> session_tokens(const std::string& id, const std::string& owner) override {
    auto lock = lock_session(id, owner);
    return core_.sessions().get(id, owner).tokens;
  }

  void end_session(const std::string& id, const std::string& owner) override {
    auto lock = lock_session(id, owner);
    const Session& session = core_.sessions().get(id, owner);
    if (session.busy) {
      core_.cancel(session.busy->id, seconds_now());
      shared_->step_end.wait(lock, [&] { return !core_.is_ending(id, owner); });
      if (!core_.sessions().find(id, owner)) return;  // it had not begun
    }
    core_.end_session(id, owner);
  }

  void fork_session(const std::string& id, const std::string& new_id, const std::string& owner) override {
    auto lock = lock_session(id, owner);
    core_.sessions().fork(id, new_id, owner, seconds_now());
  }

  void save_session(const std::string& id, const std::string& owner, const std::string& path) override {
    SessionContent content;
    {
      auto lock = lock_session(id, owner);
      const Session& session = core_.sessions().get(id, owner);
      content = {session.tokens, session.embeddings};
    }
    write_session_file(path, content, runner_->limits().model_id, owner);
  }

  void load_session(const std::string& path, const std::string& id, const std::string& owner) override {
    const ModelLimits& limits = runner_->limits();
    SessionContent content =
        read_session_file(path, limits.model_id, owner, limits.vocab_size, limits.hidden_size);
    std::lock_guard lock(shared_->mutex);
    core_.restore_session(id, owner, std::move(content), seconds_now());
  }

  void compute_logits(const std::vector<int32_t>& ids, const LogitsSink& sink) override {
    compute_rows(ids, sink, false);
  }

  void compute_hidden(const std::vector<int32_t>& ids, const LogitsSink& sink) override {
    compute_rows(ids, sink, true);
  }

  void compute_rows(const std::vector<int32_t>& ids, const LogitsSink& sink, bool as_hidden) {
    auto queue = std::make_shared<StreamQueue>();
    uint64_t id = 0;
    {
      std::lock_guard lock(shared_->mutex);
      id = core_.submit_logits(ids, queue, seconds_now(), as_hidden);
    }
    shared_->work.notify_one();
    QueueStream stream(shared_, queue, id);  // cancels if the sink throws
    const ModelLimits& limits = runner_->limits();
    auto width = static_cast<size_t>(as_hidden ? limits.hidden_size : limits.vocab_size);
    while (auto chunk = queue->next_logits()) {
      {
        std::lock_guard lock(shared_->mutex);
        core_.resume(id);
      }
      shared_->work.notify_one();
      for (size_t i = 0; i * width < chunk->rows.size(); ++i)
        sink(chunk->first_index + static_cast<int32_t>(i), std::span(chunk->rows).subspan(i * width, width));
    }
    auto end = queue->next(std::nullopt);
    if (end && end->finish == FinishReason::kError) fail(ErrorCode::kResourceExhausted, "{}", end->error);
    if (end && end->finish == FinishReason::kCancelled)
      fail(ErrorCode::kCancelled, "the engine was shut down");
  }

  EngineStats stats() override {
    std::lock_guard lock(shared_->mutex);
    const auto& blocks = core_.blocks();
    const Scheduler& scheduler = core_.scheduler();
    EngineStats s = times_;
    s.num_running = static_cast<int32_t>(scheduler.running().size());
    s.num_waiting = static_cast<int32_t>(scheduler.queued().size());
    s.num_blocks = blocks.num_blocks();
    s.num_active_blocks = blocks.num_active();
    s.num_cached_blocks = blocks.num_cached();
    s.num_preemptions = scheduler.num_preemptions();
    return s;
  }

  const EngineConfig& config() const override { return config_; }
  const DecoderConfig& model_config() const override {
    CHECK(decoder_ != nullptr);
    return decoder_->config();
  }
  int32_t session_len() const override {
    CHECK(decoder_ != nullptr);
    return decoder_->session_len();
  }

 private:
  std::unique_lock<std::mutex> lock_session(const std::string& id, const std::string& owner) {
    std::unique_lock lock(shared_->mutex);
    shared_->step_end.wait(lock, [&] { return !core_.is_ending(id, owner); });
    core_.expire_sessions(seconds_now());
    return lock;
  }

  void loop() {
    std::unique_lock lock(shared_->mutex);
    StepResult result;
    while (!shared_->stop) {
      double begin = seconds_now();
      const StepPlan& plan = core_.plan(begin);
      if (plan.empty()) {
        sleep(lock);
        continue;
      }
      lock.unlock();
      double planned = seconds_now(), computed = planned;
      std::string error = execute(plan, result, computed);
      lock.lock();
      error.empty() ? core_.complete(result, seconds_now()) : core_.fail_step(error, seconds_now());
      ++times_.num_steps;
      times_.model_seconds += computed - planned;
      times_.host_seconds += seconds_now() - begin - (computed - planned);
      shared_->step_end.notify_all();
    }
    core_.cancel_all(seconds_now());
    shared_->core = nullptr;
    shared_->step_end.notify_all();
  }

  // Until there may be work, or a waiting request runs out of time.
  void sleep(std::unique_lock<std::mutex>& lock) {
    double deadline = core_.next_deadline();
    if (deadline == std::numeric_limits<double>::infinity()) return shared_->work.wait(lock);
    double seconds = std::clamp(deadline - seconds_now(), 0.0, 3600.0);
    shared_->work.wait_for(lock, std::chrono::duration<double>(seconds));
  }

  // Nothing that goes wrong in a step may end the process; the requests of the step end with it.
  std::string execute(const StepPlan& plan, StepResult& result, double& computed) {
    try {
      result.slices.clear();
      result.slices.resize(plan.slices.size());
      runner_->execute(plan, result);
      computed = seconds_now();
      core_.judge(result);
      return {};
    } catch (const std::exception& e) {
      return *e.what() ? e.what() : "the step failed";
    }
  }

  std::unique_ptr<ModelRunner> runner_;
  EngineConfig config_;
  std::shared_ptr<Decoder> decoder_;
  EngineCore core_;
  EngineStats times_;  // of the steps so far
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Engine> create_engine(std::unique_ptr<ModelRunner> runner, int32_t num_blocks,
                                      const EngineConfig& config, std::shared_ptr<Decoder> decoder) {
  return std::make_unique<ThreadedEngine>(std::move(runner), num_blocks, config, std::move(decoder));
}

}  // namespace turgo
