// Finds stop strings in a text that comes in pieces. Text is held back while it may still become a stop
// string, so what was given out never has to be taken back. Linear in the text (a Knuth-Morris-Pratt
// automaton per string).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace turgo {

class StopMatcher {
 public:
  // include_stop: the stop string that ended the text is given out too.
  explicit StopMatcher(const std::vector<std::string>& stops = {}, bool include_stop = false);

  // Returns the text that is certain now. The string that ends first wins; of those, the longest.
  std::string add(std::string_view text);
  std::string flush();  // the text has ended: what was held back

  bool stopped() const { return stopped_; }
  const std::string& matched() const { return matched_; }  // the stop string, once stopped

 private:
  struct Pattern {
    std::string text;
    std::vector<size_t> failure;  // length of the longest proper prefix that is a suffix of text[0, i]
    size_t state = 0;             // bytes of `text` that the input's end equals
  };
  static void advance(Pattern& pattern, char byte);

  std::vector<Pattern> patterns_;
  std::string held_, matched_;
  bool include_stop_, stopped_ = false;
};

}  // namespace turgo
