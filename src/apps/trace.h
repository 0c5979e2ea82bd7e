// A trace: who asked for how much, and when. JSONL, one request per line, in any order:
//   {"arrival_s": 0.5, "prompt_tokens": 120, "output_tokens": 40}
// and as wanted "session" (turns of one conversation: prompt_tokens are the new ones), "priority",
// "prefix" with "prefix_tokens" (the leading tokens that all requests with this prefix share).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turgo {

struct TraceRequest {
  double arrival_s = 0;
  int32_t prompt_tokens = 0, output_tokens = 0;
  std::string session;
  int32_t priority = 0;
  std::string prefix;
  int32_t prefix_tokens = 0;
};

// In order of arrival. Throws Error{kCorrupt} that names the line. Empty lines are skipped.
std::vector<TraceRequest> parse_trace(std::string_view text, const std::string& what);
// Throws Error{kNotFound, kIo, kCorrupt}.
std::vector<TraceRequest> read_trace(const std::string& path);

}  // namespace turgo
