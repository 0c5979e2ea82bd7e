#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

#include "serve/process_stats.h"

namespace turgo {
namespace {

constexpr double kSecondBounds[] = {0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3, 0.6,
                                    1,     2.5,    5,     10,   20,   40,   80,   160,  640};
constexpr double kTokenBounds[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                   500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};

void print_head(std::string& out, const std::string& name, const char* type, const char* help) {
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

// A label's value: backslash, quote and line feed are escaped.
std::string label(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    out += c == '\n' ? std::string_view("\\n") : std::string_view(&c, 1);
  }
  return out;
}

}  // namespace

const std::span<const double> Metrics::kSeconds = kSecondBounds;
const std::span<const double> Metrics::kTokens = kTokenBounds;

void Metrics::Histogram::add(double value, int64_t times) {
  auto at = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
  counts[static_cast<size_t>(at)] += times;
  total += times;
  sum += value * static_cast<double>(times);
}

void Metrics::count_begin(size_t num_answers) {
  std::lock_guard lock(mutex_);
  num_begun_ += static_cast<int64_t>(num_answers);
}

void Metrics::count_tokens(size_t num_tokens, double gap) {
  std::lock_guard lock(mutex_);
  num_generated_tokens_ += static_cast<int64_t>(num_tokens);
  // Tokens that came together share the time since the ones before.
  if (gap >= 0) gap_.add(gap / static_cast<double>(num_tokens), static_cast<int64_t>(num_tokens));
}

void Metrics::count_answer(const RequestStats& stats, int32_t num_prompt, size_t num_generated,
                           const char* reason) {
  count_end(reason);
  std::lock_guard lock(mutex_);
  num_prompt_tokens_ += num_prompt;
  num_cached_tokens_ += stats.cached_tokens;
  ttft_.add(stats.ttft_seconds);
  queue_.add(stats.queue_seconds);
  prefill_.add(stats.prefill_seconds);
  decode_.add(stats.decode_seconds);
  inference_.add(std::max(0.0, stats.ttft_seconds - stats.queue_seconds) + stats.decode_seconds);
  e2e_.add(stats.ttft_seconds + stats.decode_seconds);
  prompt_.add(num_prompt);
  generated_.add(static_cast<double>(num_generated));
  if (num_generated > 1) mean_gap_.add(stats.decode_seconds / static_cast<double>(num_generated - 1));
}

void Metrics::count_end(const char* reason) {
  std::lock_guard lock(mutex_);
  ++ends_[reason];
  ++num_ended_;
  auto now = Clock::now();
  double seconds = std::chrono::duration<double>(now - last_end_).count();
  if (last_end_ != Clock::time_point{}) end_interval_ += 0.1 * (std::min(seconds, 60.0) - end_interval_);
  last_end_ = now;
}

void Metrics::count_http(const std::string& route, int status) {
  std::lock_guard lock(mutex_);
  ++http_[{route, status}];
}

void Metrics::count_error(const std::string& kind) {
  std::lock_guard lock(mutex_);
  ++errors_[kind];
}

void Metrics::set_counter(const std::string& name, int64_t value) {
  std::lock_guard lock(mutex_);
  others_[name] = value;
}

double Metrics::seconds_per_answer() const {
  std::lock_guard lock(mutex_);
  return end_interval_;
}

void Metrics::print(std::string& out, const std::string& name, const char* help,
                    const Histogram& histogram) const {
  print_head(out, name, "histogram", help);
  std::string labels = fmt::format("engine=\"0\",model_name=\"{}\"", label(model_name_));
  int64_t sum = 0;
  for (size_t i = 0; i < histogram.bounds.size(); ++i) {
    sum += histogram.counts[i];
    out += fmt::format("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, histogram.bounds[i], sum);
  }
  out += fmt::format("{0}_bucket{{{1},le=\"+Inf\"}} {2}\n{0}_sum{{{1}}} {3}\n{0}_count{{{1}}} {2}\n", name,
                     labels, histogram.total, histogram.sum);
}

void Metrics::print_family(std::string& out, const std::string& family, const EngineStats& engine) const {
  std::string labels = fmt::format("engine=\"0\",model_name=\"{}\"", label(model_name_));
  auto one = [&](const char* name, const char* type, const char* help, auto value) {
    print_head(out, family + name, type, help);
    out += fmt::format("{}{}{{{}}} {}\n", family, name, labels, value);
  };
  double used = engine.num_blocks > 0 ? static_cast<double>(engine.num_active_blocks) / engine.num_blocks : 0;
  if (engine.is_up) {
    one("num_requests_running", "gauge", "Requests that are being computed", engine.num_running);
    one("num_requests_waiting", "gauge", "Requests in the queue", engine.num_waiting);
    one("gpu_cache_usage_perc", "gauge", "Share of the KV cache that requests use", used);
    one("kv_cache_usage_perc", "gauge", "Share of the KV cache that requests use", used);
    one("num_preemptions_total", "counter", "Requests that had to give blocks back", engine.num_preemptions);
  }
  one("prompt_tokens_total", "counter", "Tokens of prompts", num_prompt_tokens_);
  one("generation_tokens_total", "counter", "Tokens generated", num_generated_tokens_);
  one("prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache",
      num_prompt_tokens_);
  one("prefix_cache_hits_total", "counter", "Prompt tokens found there", num_cached_tokens_);
  std::string name = family + "request_success_total";
  print_head(out, name, "counter", "Answers by reason of their end");
  for (const auto& [reason, count] : ends_)
    out += fmt::format("{}{{{},finished_reason=\"{}\"}} {}\n", name, labels, reason, count);
  print(out, family + "time_to_first_token_seconds", "Time to the first token", ttft_);
  print(out, family + "inter_token_latency_seconds", "Time between tokens", gap_);
  print(out, family + "time_per_output_token_seconds", "Time between tokens (its older name)", gap_);
  print(out, family + "request_time_per_output_token_seconds", "Mean time of a request's further tokens",
        mean_gap_);
  print(out, family + "e2e_request_latency_seconds", "Time of whole requests", e2e_);
  print(out, family + "request_queue_time_seconds", "Time in the queue", queue_);
  print(out, family + "request_prefill_time_seconds", "Time of computing prompts", prefill_);
  print(out, family + "request_decode_time_seconds", "Time from the first token to the last", decode_);
  print(out, family + "request_inference_time_seconds", "Time outside of the queue", inference_);
  print(out, family + "request_prompt_tokens", "Tokens of a prompt", prompt_);
  print(out, family + "request_generation_tokens", "Tokens of an answer", generated_);
}

std::string Metrics::model_text(const EngineStats& engine) const {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const char* family : {"vllm:", "lmdeploy:"}) print_family(out, family, engine);
  auto one = [&](const char* name, const char* type, const char* help, auto value) {
    print_head(out, name, type, help);
    out += fmt::format("{}{{model_name=\"{}\"}} {}\n", name, label(model_name_), value);
  };
  one("turgo:answers_begun_total", "counter", "Answers that were accepted", num_begun_);
  one("turgo:answers_ended_total", "counter", "Answers that are over, however they ended", num_ended_);
  one("turgo:engine_up", "gauge", "1: the engine can be reached; 0: it is in another process and away",
      engine.is_up ? 1 : 0);
  if (!engine.is_up) return out;
  one("turgo:kv_blocks", "gauge", "Blocks of the KV cache", engine.num_blocks);
  one("turgo:kv_blocks_active", "gauge", "Blocks that requests and sessions use", engine.num_active_blocks);
  one("turgo:kv_blocks_cached", "gauge", "Blocks kept for their prefix alone", engine.num_cached_blocks);
  one("turgo:engine_steps_total", "counter", "Steps of the engine", engine.num_steps);
  one("turgo:engine_model_seconds_total", "counter", "Time of steps in the model", engine.model_seconds);
  one("turgo:engine_host_seconds_total", "counter", "Time of steps around the model", engine.host_seconds);
  return out;
}

std::string Metrics::server_text() const {
  std::lock_guard lock(mutex_);
  std::string out;
  print_head(out, "turgo:http_requests_total", "counter", "HTTP requests by route and status");
  for (const auto& [key, count] : http_)
    out += fmt::format("turgo:http_requests_total{{route=\"{}\",status=\"{}\"}} {}\n", label(key.first),
                       key.second, count);
  print_head(out, "turgo:errors_total", "counter", "Requests that ended with an error, by its code");
  for (const auto& [kind, count] : errors_)
    out += fmt::format("turgo:errors_total{{kind=\"{}\"}} {}\n", label(kind), count);
  for (const auto& [name, value] : others_) {
    print_head(out, name, "counter", "What a reader that did not keep up has cost");
    out += fmt::format("{} {}\n", name, value);
  }
  ProcessStats process = read_process_stats();
  auto one = [&](const char* name, const char* type, const char* help, auto value) {
    print_head(out, name, type, help);
    out += fmt::format("{} {}\n", name, value);
  };
  one("process_resident_memory_bytes", "gauge", "Memory in use", process.resident_bytes);
  one("process_open_fds", "gauge", "Open file descriptors", process.num_files);
  one("process_threads", "gauge", "Threads", process.num_threads);
  one("process_cpu_seconds_total", "counter", "Time of all threads", process.cpu_seconds);
  return out;
}

}  // namespace turgo
