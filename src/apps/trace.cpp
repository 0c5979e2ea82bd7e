#include "apps/trace.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/json.h"
#include "core/mapped_file.h"

namespace turgo {
namespace {

constexpr int64_t kMaxTokens = 1 << 24;

int64_t number(const Json& object, const char* key, int64_t low, int64_t high, const std::string& where) {
  auto it = object.find(key);
  if (it == object.end()) return low;
  if (!it->is_number_integer() || *it < low || *it > high)
    fail(ErrorCode::kCorrupt, "{}: {}: expected {} to {}, got {}", where, key, low, high,
         quote(it->dump(-1, ' ', true, Json::error_handler_t::replace)));
  return it->get<int64_t>();
}

std::string text(const Json& object, const char* key, const std::string& where) {
  auto it = object.find(key);
  if (it == object.end()) return "";
  if (it->is_number_integer()) return it->dump();
  if (!it->is_string()) fail(ErrorCode::kCorrupt, "{}: {}: expected a string", where, key);
  return it->get<std::string>();
}

TraceRequest parse_line(std::string_view line, const std::string& where) {
  Json object = parse_json(line, where, 4);
  if (!object.is_object()) fail(ErrorCode::kCorrupt, "{}: expected a JSON object", where);
  constexpr const char* kKeys[] = {"arrival_s", "prompt_tokens", "output_tokens", "session",
                                   "priority",  "prefix",        "prefix_tokens"};
  for (const auto& [key, value] : object.items())
    if (std::find(std::begin(kKeys), std::end(kKeys), key) == std::end(kKeys))
      fail(ErrorCode::kCorrupt, "{}: unknown key {}", where, quote(key));
  for (const char* key : {"prompt_tokens", "output_tokens"})
    if (!object.contains(key)) fail(ErrorCode::kCorrupt, "{}: {} is missing", where, key);
  TraceRequest r;
  if (auto it = object.find("arrival_s"); it != object.end()) {
    if (!it->is_number()) fail(ErrorCode::kCorrupt, "{}: arrival_s: expected seconds", where);
    r.arrival_s = it->get<double>();
  }
  if (!(r.arrival_s >= 0 && r.arrival_s < 1e7))
    fail(ErrorCode::kCorrupt, "{}: arrival_s: expected 0 to 10,000,000 seconds, got {}", where, r.arrival_s);
  r.prompt_tokens = static_cast<int32_t>(number(object, "prompt_tokens", 1, kMaxTokens, where));
  r.output_tokens = static_cast<int32_t>(number(object, "output_tokens", 1, kMaxTokens, where));
  if (object.contains("priority"))
    r.priority = static_cast<int32_t>(number(object, "priority", -1000000, 1000000, where));
  r.session = text(object, "session", where);
  r.prefix = text(object, "prefix", where);
  r.prefix_tokens = static_cast<int32_t>(number(object, "prefix_tokens", 0, r.prompt_tokens, where));
  return r;
}

}  // namespace

std::vector<TraceRequest> parse_trace(std::string_view content, const std::string& what) {
  std::vector<TraceRequest> trace;
  for (size_t begin = 0, number_of_line = 1; begin < content.size(); ++number_of_line) {
    size_t end = std::min(content.find('\n', begin), content.size());
    std::string_view line = content.substr(begin, end - begin);
    begin = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    trace.push_back(parse_line(line, fmt::format("{} line {}", what, number_of_line)));
  }
  if (trace.empty()) fail(ErrorCode::kCorrupt, "{}: expected at least one request, got none", what);
  std::stable_sort(trace.begin(), trace.end(),
                   [](const auto& a, const auto& b) { return a.arrival_s < b.arrival_s; });
  return trace;
}

std::vector<TraceRequest> read_trace(const std::string& path) {
  auto file = MappedFile::open(path);
  auto bytes = file->bytes();
  return parse_trace({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, quote(path, 200));
}

}  // namespace turgo
