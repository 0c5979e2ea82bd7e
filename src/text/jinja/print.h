// Values as text: Python's str() and repr(), shortest floats, and json.dumps as transformers calls it. What
// came from the caller stays marked; a container that came whole from the caller is marked whole, brackets
// and commas too.
#pragma once

#include <optional>
#include <string>

#include "text/jinja/value.h"

namespace turgo::jinja {

class Runtime;

void append_str(Runtime& rt, StrBuilder& out, const Value& v);
void append_repr(Runtime& rt, StrBuilder& out, const Value& v, bool input = false, int depth = 0);
StrRef to_str(Runtime& rt, const Value& v);
std::string repr_text(Runtime& rt, const Value& v);  // for error messages

std::string int_text(Int i);
std::string float_text(double d);  // repr(float): 1.0, 1e-05, inf, nan

struct JsonStyle {
  std::optional<std::string> indent;  // text of one level; newlines between items when set
  std::string item_separator = ", ";  // ", " without and "," with indent unless the caller says otherwise
  std::string key_separator = ": ";
  bool ensure_ascii = false;
  bool sort_keys = false;
};
StrRef to_json(Runtime& rt, const Value& v, const JsonStyle& style);

// Tells, for increasing byte offsets of one string, whether the byte is input. Constant amortised time.
class InputCursor {
 public:
  explicit InputCursor(const Str& s) : s_(s) {}
  bool at(size_t offset) {
    while (i_ < s_.input.size() && s_.input[i_].end <= offset) ++i_;
    return i_ < s_.input.size() && s_.input[i_].begin <= offset;
  }

 private:
  const Str& s_;
  size_t i_ = 0;
};

}  // namespace turgo::jinja
