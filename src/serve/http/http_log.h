// What is known of a request when it is over: for the log, the metrics and the traces.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "serve/http/trace_context.h"

namespace turgo {

// What the model did for it; sums over all of its answers, the times of the slowest.
struct AnswerNote {
  std::string model;  // "": the model was not asked
  int32_t num_answers = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  double queue_seconds = 0, ttft_seconds = 0, decode_seconds = 0;
  std::string finish;  // of the last one that ended: "stop", "length" …
  std::string error;   // code of the error that ended a stream
};

struct HttpLogEntry {
  std::string method, path;
  int status = 0;
  size_t bytes = 0;        // of the answer's body
  double seconds = 0;      // from the whole header to the last byte
  bool aborted = false;    // the client left before the end
  std::string client;      // the peer's address; "unix" for a unix socket
  std::string request_id;  // the caller's x-request-id, or the trace id
  std::string caller;      // name of the key that was shown; never the key itself
  std::string error;       // code of the error that was answered
  TraceContext trace;
  AnswerNote answer;
  std::chrono::system_clock::time_point begin{};
};

}  // namespace turgo
