// Counters of the server, printed in Prometheus' text format under vLLM's names and LMDeploy's. All functions
// may be called from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace turgo {

class Metrics {
 public:
  explicit Metrics(std::string model_name) : model_name_(std::move(model_name)) {}

  void count_tokens(size_t num_tokens, bool is_first);
  void count_answer(const RequestStats& stats, int32_t num_prompt, size_t num_generated, const char* reason);
  void count_end(const char* reason);  // an answer that did not end by itself
  void count_http(const std::string& route, int status);

  std::string to_text(const EngineStats& engine) const;

 private:
  struct Histogram {
    std::vector<int64_t> counts = std::vector<int64_t>(16, 0);
    double sum = 0;
    int64_t total = 0;
    void add(double seconds);
  };
  void print(std::string& out, const std::string& name, const char* help, const Histogram& histogram) const;

  std::string model_name_;
  mutable std::mutex mutex_;
  int64_t num_prompt_tokens_ = 0, num_cached_tokens_ = 0, num_generated_tokens_ = 0;
  std::map<std::string, int64_t> ends_;
  std::map<std::pair<std::string, int>, int64_t> http_;
  Histogram ttft_, token_, e2e_, queue_;
};

}  // namespace turgo
