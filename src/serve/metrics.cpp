#include "serve/metrics.h"

#include <fmt/format.h>

namespace turgo {
namespace {

constexpr std::array<double, 15> kBounds = {0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.3,
                                            0.6,   1,     2.5,  5,    10,   30,   60};

}  // namespace

void Metrics::Histogram::add(double seconds) {
  size_t i = 0;
  while (i < kBounds.size() && seconds > kBounds[i]) ++i;
  ++counts[i];
  ++total;
  sum += seconds;
}

void Metrics::count_tokens(size_t num_tokens, bool) {
  std::lock_guard lock(mutex_);
  num_generated_tokens_ += static_cast<int64_t>(num_tokens);
}

void Metrics::count_answer(const RequestStats& stats, int32_t num_prompt, size_t num_generated,
                           const char* reason) {
  std::lock_guard lock(mutex_);
  ++ends_[reason];
  num_prompt_tokens_ += num_prompt;
  num_cached_tokens_ += stats.cached_tokens;
  ttft_.add(stats.ttft_seconds);
  queue_.add(stats.queue_seconds);
  e2e_.add(stats.ttft_seconds + stats.decode_seconds);
  if (num_generated > 1) token_.add(stats.decode_seconds / static_cast<double>(num_generated - 1));
}

void Metrics::count_end(const char* reason) {
  std::lock_guard lock(mutex_);
  ++ends_[reason];
}

void Metrics::count_http(const std::string& route, int status) {
  std::lock_guard lock(mutex_);
  ++http_[{route, status}];
}

void Metrics::print(std::string& out, const std::string& name, const char* help,
                    const Histogram& histogram) const {
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  int64_t sum = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    sum += histogram.counts[i];
    out += fmt::format("{}_bucket{{model_name=\"{}\",le=\"{}\"}} {}\n", name, model_name_, kBounds[i], sum);
  }
  out += fmt::format(
      "{0}_bucket{{model_name=\"{1}\",le=\"+Inf\"}} {2}\n{0}_sum{{model_name=\"{1}\"}} {3}\n"
      "{0}_count{{model_name=\"{1}\"}} {2}\n",
      name, model_name_, histogram.total, histogram.sum);
}

std::string Metrics::to_text(const EngineStats& engine) const {
  std::lock_guard lock(mutex_);
  std::string out;
  double used = engine.num_blocks > 0 ? static_cast<double>(engine.num_active_blocks) / engine.num_blocks : 0;
  for (const char* family : {"vllm", "lmdeploy"}) {
    auto one = [&](const char* name, const char* type, const char* help, auto value) {
      out += fmt::format("# HELP {0}:{1} {2}\n# TYPE {0}:{1} {3}\n{0}:{1}{{model_name=\"{4}\"}} {5}\n",
                         family, name, help, type, model_name_, value);
    };
    one("num_requests_running", "gauge", "Requests that are being computed", engine.num_running);
    one("num_requests_waiting", "gauge", "Requests in the queue", engine.num_waiting);
    one("gpu_cache_usage_perc", "gauge", "Share of the KV cache that requests use", used);
    one("kv_cache_usage_perc", "gauge", "Share of the KV cache that requests use", used);
    one("num_preemptions_total", "counter", "Requests that had to give blocks back", engine.num_preemptions);
    one("prompt_tokens_total", "counter", "Tokens of prompts", num_prompt_tokens_);
    one("generation_tokens_total", "counter", "Tokens generated", num_generated_tokens_);
    one("prefix_cache_queries_total", "counter", "Prompt tokens looked up in the prefix cache",
        num_prompt_tokens_);
    one("prefix_cache_hits_total", "counter", "Prompt tokens found there", num_cached_tokens_);
    std::string prefix = fmt::format("{}:", family);
    out += fmt::format(
        "# HELP {0}request_success_total Answers by reason of their end\n"
        "# TYPE {0}request_success_total counter\n",
        prefix);
    for (const auto& [reason, count] : ends_)
      out += fmt::format("{}request_success_total{{model_name=\"{}\",finished_reason=\"{}\"}} {}\n", prefix,
                         model_name_, reason, count);
    print(out, prefix + "time_to_first_token_seconds", "Time to the first token", ttft_);
    print(out, prefix + "time_per_output_token_seconds", "Mean time of the further tokens", token_);
    print(out, prefix + "e2e_request_latency_seconds", "Time of whole requests", e2e_);
    print(out, prefix + "request_queue_time_seconds", "Time in the queue", queue_);
  }
  out +=
      "# HELP turgo:http_requests_total HTTP requests by route and status\n"
      "# TYPE turgo:http_requests_total counter\n";
  for (const auto& [key, count] : http_)
    out += fmt::format("turgo:http_requests_total{{route=\"{}\",status=\"{}\"}} {}\n", key.first, key.second,
                       count);
  return out;
}

}  // namespace turgo
