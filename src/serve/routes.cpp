#include "serve/routes.h"

#include <optional>
#include <string_view>

namespace turgo {
namespace {

std::string_view take_segment(std::string_view& path) {
  size_t end = std::min(path.find('/'), path.size());
  std::string_view segment = path.substr(0, end);
  path.remove_prefix(std::min(end + 1, path.size()));
  return segment;
}

std::optional<std::vector<std::string>> match_pattern(std::string_view pattern, std::string_view path) {
  std::vector<std::string> params;
  while (!pattern.empty()) {
    if (pattern.starts_with('{') && pattern.ends_with("*}") && pattern.find('/') == pattern.npos) {
      if (path.empty()) return std::nullopt;
      params.emplace_back(path);
      return params;
    }
    if (path.empty()) return std::nullopt;
    std::string_view wanted = take_segment(pattern), got = take_segment(path);
    if (wanted.starts_with('{') && !got.empty())
      params.emplace_back(got);
    else if (wanted != got)
      return std::nullopt;
  }
  return path.empty() ? std::optional(std::move(params)) : std::nullopt;
}

}  // namespace

const RouteTable::Entry* RouteTable::Match::find(const std::string& method) const {
  if (!entries) return nullptr;
  for (const Entry& entry : *entries)
    if (entry.method == method || (entry.method == "GET" && method == "HEAD")) return &entry;
  return nullptr;
}

std::string RouteTable::Match::allowed() const {
  std::string out;
  for (const Entry& entry : *entries)
    out += (out.empty() ? "" : ", ") + entry.method + (entry.method == "GET" ? ", HEAD" : "");
  return out;
}

void RouteTable::add(const std::string& method, const std::string& path, Route route, RouteInfo info) {
  std::vector<Entry>& entries = by_path_[path];
  for (Entry& entry : entries)
    if (entry.method == method) {  // the later one counts
      entry = {method, path, std::move(route), std::move(info)};
      return;
    }
  if (entries.empty() && path.find('{') != path.npos) patterns_.push_back(path);
  entries.push_back({method, path, std::move(route), std::move(info)});
}

RouteTable::Match RouteTable::match(const std::string& path) const {
  if (auto found = by_path_.find(path); found != by_path_.end()) return {&found->second, {}};
  for (const std::string& pattern : patterns_)
    if (auto params = match_pattern(pattern, path)) return {&by_path_.at(pattern), std::move(*params)};
  return {};
}

}  // namespace turgo
