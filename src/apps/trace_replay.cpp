#include "apps/trace_replay.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include "core/bell.h"
#include "core/error.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

// Takes the time of each token on the engine's thread, so that no consumer has to be awake for it.
class Stopwatch : public TokenObserver {
 public:
  Stopwatch(Clock::time_point start, int32_t num_wanted) : start_(start), num_left_(num_wanted) {}
  Verdict on_token(const OutputToken&) override {
    times.push_back(std::chrono::duration<double>(Clock::now() - start_).count());
    num_left_.fetch_sub(1, std::memory_order_relaxed);
    return Verdict::kContinue;
  }
  bool is_done() const { return num_left_.load(std::memory_order_relaxed) <= 0; }
  std::vector<double> times;  // read after the request's last event

 private:
  Clock::time_point start_;
  std::atomic<int32_t> num_left_;
};

class Replayer {
 public:
  Replayer(Engine& engine, const std::vector<TraceRequest>& trace, const ReplayOptions& options)
      : engine_(engine), trace_(trace), options_(options), vocab_size_(engine.model_config().vocab_size) {
    replay_.requests.resize(trace.size());
  }

  Replay run() {
    start_ = Clock::now();
    size_t next = 0;
    while (next < trace_.size() || !waiting_.empty() || !running_.empty()) {
      for (; next < trace_.size() && trace_[next].arrival_s <= now(); ++next) waiting_.push_back(next);
      fetch();
      submit_waiting();
      double pause = running_.empty() && waiting_.empty() ? 3600 : 0.05;  // those that end early do not ring
      if (next < trace_.size()) pause = std::clamp(trace_[next].arrival_s - now(), 0.0, pause);
      if (num_ended_ < trace_.size()) bell_->wait_for(std::chrono::duration<double>(pause));
    }
    replay_.seconds = now();
    return std::move(replay_);
  }

 private:
  struct Running {
    size_t index;
    std::unique_ptr<Stream> stream;
    std::shared_ptr<Stopwatch> stopwatch;
  };

  double now() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

  std::vector<int32_t> random_ids(uint64_t seed, int32_t n) const {
    std::mt19937_64 random(seed * 0x9E3779B97F4A7C15u + options_.seed);
    std::vector<int32_t> ids(static_cast<size_t>(n));
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint64_t>(vocab_size_));
    return ids;
  }

  void submit_waiting() {
    std::deque<size_t> later;
    while (!waiting_.empty()) {
      bool full =
          options_.max_in_flight > 0 && running_.size() >= static_cast<size_t>(options_.max_in_flight);
      if (full) break;
      size_t i = waiting_.front();
      waiting_.pop_front();
      busy_.count(trace_[i].session) || held_.count(trace_[i].session) ? hold(i, later) : submit(i);
    }
    waiting_.insert(waiting_.begin(), later.begin(), later.end());
    held_.clear();
  }
  // Turns of a session stay in order.
  void hold(size_t i, std::deque<size_t>& later) {
    later.push_back(i);
    held_.insert(trace_[i].session);
  }

  void submit(size_t i) {
    const TraceRequest& t = trace_[i];
    ReplayedRequest& out = replay_.requests[i];
    out.arrival_s = t.arrival_s;
    out.start_s = now();
    auto stopwatch = std::make_shared<Stopwatch>(start_, t.output_tokens);
    stopwatch->times.reserve(static_cast<size_t>(std::min(t.output_tokens, 4096)));
    Request r;
    r.input_ids = random_ids(std::hash<std::string>{}(t.prefix), t.prefix_tokens);
    auto own = random_ids(i + 1, t.prompt_tokens - t.prefix_tokens);
    r.input_ids.insert(r.input_ids.end(), own.begin(), own.end());
    r.max_new_tokens = t.output_tokens;
    r.ignore_eos = true;
    r.sampling.temperature = 0;
    r.session_id = t.session;
    r.priority = t.priority;
    r.observer = stopwatch;
    try {
      auto stream = engine_.submit(std::move(r));
      // Not for every token: the model would be disturbed.
      stream->set_listener([stopwatch, bell = bell_] {
        if (stopwatch->is_done()) bell->ring();
      });
      running_.push_back({i, std::move(stream), std::move(stopwatch)});
      if (!t.session.empty()) busy_.insert(t.session);
    } catch (const Error& e) {
      out.finish = FinishReason::kError;
      out.error = e.what();
      end(i);
    }
  }

  void fetch() {
    for (size_t k = 0; k < running_.size();) {
      auto event = running_[k].stream->next(std::chrono::milliseconds(0));
      if (!event || event->finish == FinishReason::kNone) {
        ++k;
        continue;
      }
      size_t i = running_[k].index;
      ReplayedRequest& out = replay_.requests[i];
      out.finish = event->finish;
      out.error = event->error;
      out.stats = event->stats;
      out.token_s = std::move(running_[k].stopwatch->times);
      busy_.erase(trace_[i].session);
      running_[k] = std::move(running_.back());
      running_.pop_back();
      end(i);
    }
  }

  void end(size_t) {
    ++num_ended_;
    if (options_.on_end) options_.on_end(num_ended_);
  }

  Engine& engine_;
  const std::vector<TraceRequest>& trace_;
  const ReplayOptions& options_;
  int32_t vocab_size_;
  Clock::time_point start_;
  std::shared_ptr<Bell> bell_ = std::make_shared<Bell>();  // listeners may outlive the replay
  std::deque<size_t> waiting_;
  std::vector<Running> running_;
  std::unordered_set<std::string> busy_, held_;  // sessions
  size_t num_ended_ = 0;
  Replay replay_;
};

}  // namespace

Replay replay_trace(Engine& engine, const std::vector<TraceRequest>& trace, const ReplayOptions& options) {
  return Replayer(engine, trace, options).run();
}

}  // namespace turgo
