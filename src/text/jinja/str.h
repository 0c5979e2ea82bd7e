// Strings of the template language: UTF-8 text plus the byte ranges that came from the caller's messages
// ("input"). Every operation on strings is written as copies of slices through StrBuilder, so that the marks
// travel with the bytes. Invariants: text is valid UTF-8; input is sorted, disjoint, not touching; a Str
// never changes after it is made.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/marked_text.h"

namespace turgo::jinja {

class Runtime;

struct Str {
  std::string text;
  std::vector<MarkedText::Range> input;
  bool ascii = true;    // every byte < 0x80: then index = byte offset
  bool markup = false;  // result of |safe or |escape: `+` escapes its other side
  size_t* live_bytes = nullptr;

  Str() = default;
  Str(const Str&) = delete;
  Str& operator=(const Str&) = delete;
  ~Str();

  size_t length() const;  // code points
  bool any_input() const { return !input.empty(); }
  bool all_input() const { return input.size() == 1 && input[0].begin == 0 && input[0].end == text.size(); }
};
using StrRef = std::shared_ptr<const Str>;

// A string that lives in the syntax tree, outside any rendering.
StrRef constant_str(std::string text);

class StrBuilder {
 public:
  explicit StrBuilder(Runtime& runtime) : runtime_(&runtime) {}

  void add(std::string_view text, bool input = false);
  void add(char c, bool input = false) { add(std::string_view(&c, 1), input); }
  void add(const Str& s) { add(s, 0, s.text.size()); }
  void add(const Str& s, size_t begin, size_t end);  // bytes [begin, end)
  void add_repeated(std::string_view text, int64_t count, bool input = false);
  size_t size() const { return text_.size(); }
  std::string_view view() const { return text_; }
  MarkedText take();
  StrRef finish(bool markup = false);

 private:
  void mark(size_t begin, size_t end);

  Runtime* runtime_;
  std::string text_;
  std::vector<MarkedText::Range> input_;
};

// Walks code points in order; `next_input` looks up marks in constant amortised time.
struct Utf8 {
  static size_t size_at(std::string_view text, size_t at);  // bytes of the code point that starts at `at`
  static size_t start_before(std::string_view text,
                             size_t end);  // start of the code point that ends at `end`
  static char32_t decode(std::string_view text, size_t at);
  static void append(std::string& out, char32_t code_point);
  static bool is_space(char32_t c);  // Python's str.isspace
  static bool valid(std::string_view text);
};

// Byte offset of code point `index` (0 <= index <= length).
size_t byte_offset(const Str& s, size_t index);

}  // namespace turgo::jinja
