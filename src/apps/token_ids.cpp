#include "apps/token_ids.h"

#include <fmt/ranges.h>

#include <charconv>

#include "core/error.h"

namespace turgo {

std::vector<int32_t> parse_token_ids(const std::string& text, const char* flag, int32_t vocab_size) {
  std::vector<int32_t> ids;
  const char *at = text.data(), *end = at + text.size();
  while (at < end) {
    int32_t id = -1;
    auto [next, error] = std::from_chars(at, end, id);
    bool separated = next == end || *next == ',' || *next == ' ' || *next == '\n';
    if (error != std::errc() || !separated || id < 0 || id >= vocab_size)
      fail(ErrorCode::kInvalidArgument, "{}: expected ids from 0 to {} like 1,5,7, got {}", flag,
           vocab_size - 1, quote(text));
    ids.push_back(id);
    at = next;
    while (at < end && (*at == ',' || *at == ' ' || *at == '\n')) ++at;
  }
  return ids;
}

std::string print_token_ids(const std::vector<int32_t>& ids) {
  return fmt::format("{}", fmt::join(ids, ","));
}

}  // namespace turgo
