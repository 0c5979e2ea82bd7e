#include "serve/http/trace_context.h"

#include <fmt/format.h>

#include <random>

namespace turgo {
namespace {

bool is_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_id(std::string_view text) {
  return is_hex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

std::mt19937_64& random_bits() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

}  // namespace

TraceContext continue_trace(std::string_view text) {
  TraceContext trace;
  auto& random = random_bits();
  trace.span_id = fmt::format("{:016x}", random() | 1);
  constexpr size_t kSize = 55;
  bool fits = text.size() == kSize || (text.size() > kSize && text[kSize] == '-' && !text.starts_with("00"));
  if (fits && text[2] == '-' && text[35] == '-' && text[52] == '-' && is_hex(text.substr(0, 2)) &&
      !text.starts_with("ff") && is_id(text.substr(3, 32)) && is_id(text.substr(36, 16)) &&
      is_hex(text.substr(53, 2))) {
    trace.trace_id = text.substr(3, 32);
    trace.parent_id = text.substr(36, 16);
    trace.is_sampled = std::string_view("13579bdf").find(text[54]) != std::string_view::npos;
  } else {
    trace.trace_id = fmt::format("{:016x}{:016x}", random(), random() | 1);
  }
  return trace;
}

std::string to_traceparent(const TraceContext& trace) {
  return fmt::format("00-{}-{}-{}", trace.trace_id, trace.span_id, trace.is_sampled ? "01" : "00");
}

}  // namespace turgo
