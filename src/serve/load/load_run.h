// Sends the requests of a load plan to any OpenAI-compatible server from one thread and notes when each piece
// of an answer came.
#pragma once

#include "core/json.h"
#include "serve/client/http_exchange.h"
#include "serve/load/load_plan.h"

namespace turgo {

struct LoadResult {
  bool ok = false;
  std::string error, text;
  double start = 0;                 // seconds since the test began
  std::vector<double> piece_times;  // when text came
  double end = 0;
  int64_t input_tokens = 0, output_tokens = 0;

  double ttft() const { return piece_times.empty() ? 0 : piece_times.front() - start; }
  double tpot() const {  // mean time of the further tokens
    return output_tokens > 1 ? (end - piece_times.front()) / static_cast<double>(output_tokens - 1) : 0;
  }
};

struct LoadConfig {
  ServerUrl server;
  std::string path = "/v1/completions";  // or /v1/chat/completions
  std::string api_key, model;
  size_t max_in_flight = 0;     // 0 = as they arrive
  Json extra = Json::object();  // more fields of every request
  double timeout = 600;         // seconds of the whole test
};

struct LoadReport {
  std::vector<LoadResult> results;  // in the order of the plan
  double duration = 0;
  size_t most_in_flight = 0;
};

// Throws Error{kIo} if no connection can be had at all; what goes wrong with one request is in its result.
LoadReport run_load(const LoadConfig& config, const std::vector<LoadRequest>& plan);

}  // namespace turgo
