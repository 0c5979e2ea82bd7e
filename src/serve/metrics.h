// Counters of the server, printed in Prometheus' text format under vLLM's names and LMDeploy's. All functions
// may be called from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"

namespace turgo {

class Metrics {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Metrics(std::string model_name) : model_name_(std::move(model_name)) {}
  const std::string& model_name() const { return model_name_; }

  // Every answer that begins ends once: with count_answer() or, where it did not end by itself, count_end().
  void count_begin(size_t num_answers);
  void count_answer(const RequestStats& stats, int32_t num_prompt, size_t num_generated, const char* reason);
  void count_end(const char* reason);
  void count_tokens(size_t num_tokens, double gap);  // seconds since the tokens before; < 0: the first ones
  void count_http(const std::string& route, int status);
  void count_error(const std::string& kind);
  void set_counter(const std::string& name, int64_t value);  // what others count: "turgo:…_dropped_total"

  // Seconds until about one more answer will have ended: how long one whom the full queue turned away should
  // wait.
  double seconds_per_answer() const;

  // Of one model: the engine's gauges, tokens, latencies.
  std::string model_text(const EngineStats& engine) const;
  // Of the whole process: requests, errors, memory.
  std::string server_text() const;

 private:
  struct Histogram {
    explicit Histogram(std::span<const double> b) : bounds(b), counts(b.size() + 1, 0) {}
    std::span<const double> bounds;
    std::vector<int64_t> counts;
    double sum = 0;
    int64_t total = 0;
    void add(double value, int64_t times = 1);
  };
  void print(std::string& out, const std::string& name, const char* help, const Histogram& histogram) const;
  void print_family(std::string& out, const std::string& family, const EngineStats& engine) const;

  static const std::span<const double> kSeconds, kTokens;

  std::string model_name_;
  mutable std::mutex mutex_;
  int64_t num_begun_ = 0, num_ended_ = 0;
  int64_t num_prompt_tokens_ = 0, num_cached_tokens_ = 0, num_generated_tokens_ = 0;
  std::map<std::string, int64_t> ends_, errors_, others_;
  std::map<std::pair<std::string, int>, int64_t> http_;
  Histogram ttft_{kSeconds}, gap_{kSeconds}, mean_gap_{kSeconds}, e2e_{kSeconds}, queue_{kSeconds},
      prefill_{kSeconds}, decode_{kSeconds}, inference_{kSeconds}, prompt_{kTokens}, generated_{kTokens};
  Clock::time_point last_end_{};
  double end_interval_ = 1;  // seconds between the ends of answers, of late
};

}  // namespace turgo
