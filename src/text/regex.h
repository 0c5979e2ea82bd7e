// A compiled regular expression: PCRE2 with UTF, UCP and JIT behind value semantics. Limits bound each match,
// so that a hostile pattern ends in an Error and not in a hang. The standard library's own would
// overflow the stack on long runs.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

namespace turgo {

// The CPU time of this thread until which the matches over one text may go on: in proportion to its size, for
// all of its parts together, however many there are.
struct RegexDeadline {
  explicit RegexDeadline(size_t text_bytes);
  double thread_seconds;
};

class Regex {
 public:
  // Throws Error{kUnsupported} if the pattern does not compile or holds \X; `what` names its origin. \s and
  // \S mean White_Space, as in Oniguruma and Rust (PCRE would add U+180E).
  Regex(const std::string& pattern, const std::string& what);
  ~Regex();
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;

  // Working memory of one thread.
  class Scratch {
   public:
    // `text_bytes`: of the text to search; one match may take steps in proportion to it.
    Scratch(const Regex& regex, size_t text_bytes, const RegexDeadline& deadline);
    Scratch(const Regex& regex, size_t text_bytes) : Scratch(regex, text_bytes, RegexDeadline(text_bytes)) {}
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

   private:
    friend class Regex;
    struct Impl;
    std::unique_ptr<Impl> impl_;
  };

  // The next match at or after `from`; text must be valid UTF-8. False if there is none. Throws
  // Error{kUnsupported} if the limits are exceeded.
  bool find(std::string_view text, size_t from, Scratch& scratch, size_t& begin, size_t& end) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turgo
