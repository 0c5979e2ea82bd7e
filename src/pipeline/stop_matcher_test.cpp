#include "pipeline/stop_matcher.h"

#include <gtest/gtest.h>

#include <random>

namespace turgo {
namespace {

struct Outcome {
  std::string text;
  bool stopped;
};

Outcome feed(StopMatcher matcher, const std::vector<std::string>& pieces) {
  std::string out;
  for (const auto& piece : pieces) out += matcher.add(piece);
  out += matcher.flush();
  return {out, matcher.stopped()};
}

TEST(StopMatcher, SpansPieces) {
  auto [text, stopped] = feed(StopMatcher({"\n\nUser:"}), {"Hello", "\n", "\nUs", "er", ": more"});
  EXPECT_EQ(text, "Hello");
  EXPECT_TRUE(stopped);
}

TEST(StopMatcher, HoldsBackOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"abc"});
  EXPECT_EQ(matcher.add("xxa"), "xx");
  EXPECT_EQ(matcher.add("b"), "");
  EXPECT_EQ(matcher.add("d"), "abd");
  EXPECT_EQ(matcher.add("ab"), "");
  EXPECT_EQ(matcher.flush(), "ab");
  EXPECT_FALSE(matcher.stopped());
}

TEST(StopMatcher, RepeatedPrefixes) {
  EXPECT_EQ(feed(StopMatcher({"aab"}), {"aa", "aa", "b!"}).text, "aa");
  EXPECT_EQ(feed(StopMatcher({"abab!"}), {"aba", "bab", "!"}).text, "ab");
}

TEST(StopMatcher, FirstEndWinsThenTheLongest) {
  EXPECT_EQ(feed(StopMatcher({"cde", "d"}), {"abcdef"}).text, "abc");
  EXPECT_EQ(feed(StopMatcher({"d", "bcd"}), {"abcdef"}).text, "a");
}

TEST(StopMatcher, IncludesTheStopIfAsked) {
  EXPECT_EQ(feed(StopMatcher({"。"}, true), {"浦江。", "更多"}).text, "浦江。");
  EXPECT_EQ(feed(StopMatcher({"。"}), {"浦江。", "更多"}).text, "浦江");
}

TEST(StopMatcher, NothingAfterTheStop) {
  StopMatcher matcher({"x"});
  EXPECT_EQ(matcher.add("ax"), "a");
  EXPECT_EQ(matcher.add("b"), "");
  EXPECT_EQ(matcher.flush(), "");
  EXPECT_EQ(matcher.matched(), "x");
}

// Any cutting of any text gives what a search in the whole text gives.
TEST(StopMatcher, EqualsASearchInTheWholeText) {
  std::mt19937 random(7);
  auto letters = [&](size_t n) {
    std::string s;
    for (size_t i = 0; i < n; ++i) s += static_cast<char>('a' + random() % 3);
    return s;
  };
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> stops;
    for (size_t i = random() % 3 + 1; i > 0; --i) stops.push_back(letters(random() % 4 + 2));
    std::string whole = letters(random() % 60);
    size_t best_end = std::string::npos, best_length = 0;
    for (const auto& stop : stops) {
      size_t at = whole.find(stop);
      if (at == std::string::npos) continue;
      size_t end = at + stop.size();
      if (end < best_end || (end == best_end && stop.size() > best_length))
        best_end = end, best_length = stop.size();
    }
    std::string expected = best_end == std::string::npos ? whole : whole.substr(0, best_end - best_length);
    std::vector<std::string> pieces;
    for (size_t at = 0; at < whole.size();) {
      size_t n = random() % 5 + 1;
      pieces.push_back(whole.substr(at, n));
      at += n;
    }
    auto [text, stopped] = feed(StopMatcher(stops), pieces);
    ASSERT_EQ(text, expected) << whole;
    ASSERT_EQ(stopped, best_end != std::string::npos);
  }
}

}  // namespace
}  // namespace turgo
