#include "pipeline/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace turgo {

StopMatcher::StopMatcher(const std::vector<std::string>& stops, bool include_stop)
    : include_stop_(include_stop) {
  for (const std::string& stop : stops) {
    if (stop.empty()) continue;
    Pattern pattern{stop, std::vector<size_t>(stop.size(), 0)};
    for (size_t i = 1, length = 0; i < stop.size(); ++i) {
      while (length > 0 && stop[i] != stop[length]) length = pattern.failure[length - 1];
      length += stop[i] == stop[length];
      pattern.failure[i] = length;
    }
    patterns_.push_back(std::move(pattern));
  }
}

void StopMatcher::advance(Pattern& pattern, char byte) {
  while (pattern.state > 0 && pattern.text[pattern.state] != byte)
    pattern.state = pattern.failure[pattern.state - 1];
  pattern.state += pattern.text[pattern.state] == byte;
}

std::string StopMatcher::add(std::string_view text) {
  if (stopped_) return "";
  for (size_t i = 0; i < text.size(); ++i) {
    const Pattern* longest = nullptr;
    for (Pattern& pattern : patterns_) {
      advance(pattern, text[i]);
      if (pattern.state == pattern.text.size() && (!longest || pattern.state > longest->state))
        longest = &pattern;
    }
    if (!longest) continue;
    stopped_ = true;
    matched_ = longest->text;
    held_.append(text.substr(0, i + 1));
    if (!include_stop_) held_.resize(held_.size() - matched_.size());
    return std::exchange(held_, "");
  }
  held_.append(text);
  size_t keep = 0;
  for (const Pattern& pattern : patterns_) keep = std::max(keep, pattern.state);
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopMatcher::flush() {
  return stopped_ ? "" : std::exchange(held_, "");
}

}  // namespace turgo
