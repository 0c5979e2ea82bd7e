// W3C Trace Context (https://www.w3.org/TR/trace-context/): which trace a request belongs to, as the header
// traceparent carries it: "00-<trace id>-<span id>-<flags>", lower-case hex of 16, 8 and 1 bytes.
#pragma once

#include <string>
#include <string_view>

namespace turgo {

struct TraceContext {
  std::string trace_id;   // 32 hex digits, not all 0
  std::string span_id;    // 16 hex digits: this server's part of the trace
  std::string parent_id;  // 16 hex digits: the caller's part; "" = the trace begins here
  bool is_sampled = true;
};

// Continues the trace of a traceparent header, or begins one where there is none or a broken one (the
// standard says to ignore it). Versions above 00 may have more fields.
TraceContext continue_trace(std::string_view traceparent);

// For requests to others, and for the header traceresponse of the answer.
std::string to_traceparent(const TraceContext& trace);

}  // namespace turgo
