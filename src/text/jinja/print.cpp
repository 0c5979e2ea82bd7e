#include "text/jinja/print.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"

namespace turgo::jinja {

std::string int_text(Int i) {
  if (i == 0) return "0";
  bool negative = i < 0;
  std::string digits;
  while (i != 0) {
    int digit = static_cast<int>(i % 10);
    digits += static_cast<char>('0' + (digit < 0 ? -digit : digit));
    i /= 10;
  }
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::string float_text(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d < 0 ? "-inf" : "inf";
  char buffer[64];
  auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific);
  std::string text(buffer, end);
  size_t e = text.find('e');
  int exponent = std::stoi(text.substr(e + 1));
  if (exponent >= -4 && exponent < 16) {
    auto fixed = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::fixed);
    text.assign(buffer, fixed.ptr);
    if (text.find('.') == std::string::npos) text += ".0";
    return text;
  }
  return text;  // "1e-05", "1.5e+16": to_chars writes at least two digits of exponent, as Python does
}

namespace {

bool printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

void append_escaped_repr(StrBuilder& out, const Str& s, bool input, char quote_char) {
  InputCursor marks(s);
  size_t run = 0;
  auto flush = [&](size_t end) {
    if (input) {
      out.add(std::string_view(s.text).substr(run, end - run), true);
    } else {
      out.add(s, run, end);
    }
  };
  for (size_t at = 0; at < s.text.size();) {
    size_t size = Utf8::size_at(s.text, at);
    char32_t c = Utf8::decode(s.text, at);
    std::string escape;
    if (c == '\\' || c == static_cast<char32_t>(quote_char)) {
      escape = fmt::format("\\{}", static_cast<char>(c));
    } else if (c == '\n' || c == '\r' || c == '\t') {
      escape = fmt::format("\\{}", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    } else if (!printable(c)) {
      auto code = static_cast<uint32_t>(c);
      escape = code < 0x100     ? fmt::format("\\x{:02x}", code)
               : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                                : fmt::format("\\U{:08x}", code);
    }
    if (!escape.empty()) {
      flush(at);
      out.add(escape, input || marks.at(at));
      run = at + size;
    }
    at += size;
  }
  flush(s.text.size());
}

void append_repr_string(StrBuilder& out, const Str& s, bool input) {
  bool single = s.text.find('\'') != std::string::npos;
  char quote_char = single && s.text.find('"') == std::string::npos ? '"' : '\'';
  if (s.markup) out.add("Markup(", input);
  out.add(quote_char, input);
  append_escaped_repr(out, s, input, quote_char);
  out.add(quote_char, input);
  if (s.markup) out.add(")", input);
}

void append_dict(Runtime& rt, StrBuilder& out, const Dict& dict, bool input, int depth) {
  out.add("{", input);
  bool first = true;
  for (const auto& [key, value] : dict.entries) {
    if (!first) out.add(", ", input);
    first = false;
    append_repr(rt, out, key, input, depth + 1);
    out.add(": ", input);
    append_repr(rt, out, value, input, depth + 1);
  }
  out.add("}", input);
}

void append_list(Runtime& rt, StrBuilder& out, const std::vector<Value>& items, const char* open,
                 const char* close, bool input, int depth) {
  out.add(open, input);
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.add(", ", input);
    append_repr(rt, out, items[i], input, depth + 1);
  }
  out.add(close, input);
}

}  // namespace

void append_repr(Runtime& rt, StrBuilder& out, const Value& v, bool input, int depth) {
  rt.step();
  rt.check_value_depth(depth);
  bool marked = input || v.input;
  switch (v.kind) {
    case Kind::kUndefined:
      out.add("Undefined");
      break;
    case Kind::kNone:
      out.add("None", marked);
      break;
    case Kind::kBool:
      out.add(v.as.boolean ? "True" : "False", marked);
      break;
    case Kind::kInt:
      out.add(int_text(v.as.integer), marked);
      break;
    case Kind::kFloat:
      out.add(float_text(v.as.number), marked);
      break;
    case Kind::kString:
      append_repr_string(out, *v.str, input);
      break;
    case Kind::kList:
      append_list(rt, out, v.list().items, "[", "]", input || v.list().input, depth);
      break;
    case Kind::kTuple:
      append_list(rt, out, v.list().items, "(", v.list().items.size() == 1 ? ",)" : ")",
                  input || v.list().input, depth);
      break;
    case Kind::kDict:
      append_dict(rt, out, v.dict(), input || v.dict().input, depth);
      break;
    case Kind::kNamespace:
      out.add("<Namespace ");
      append_dict(rt, out, v.dict(), input, depth);
      out.add(">");
      break;
    case Kind::kRange: {
      const Range& r = v.range();
      out.add(
          fmt::format("range({}, {}{})", r.start, r.stop, r.step == 1 ? "" : fmt::format(", {}", r.step)));
      break;
    }
    case Kind::kDictView: {
      out.add(std::string(type_name(v)) + "(");
      append_list(rt, out, elements(rt, v), "[", "]", input || v.view().dict->input, depth);
      out.add(")");
      break;
    }
    case Kind::kMacro:
    case Kind::kFunction:
    case Kind::kMethod:
    case Kind::kIterator:
    case Kind::kLoop:
      out.add(fmt::format("<{} object>", type_name(v)));
      break;
  }
}

void append_str(Runtime& rt, StrBuilder& out, const Value& v) {
  if (v.is_string()) {
    out.add(*v.str);
  } else if (!v.is(Kind::kUndefined)) {
    append_repr(rt, out, v);
  }
}

StrRef to_str(Runtime& rt, const Value& v) {
  if (v.is_string() && !v.str->markup) return v.str;
  StrBuilder out(rt);
  append_str(rt, out, v);
  return out.finish();
}

std::string repr_text(Runtime& rt, const Value& v) {
  if (!v.is_string() && !v.is_number() && !v.is(Kind::kNone)) return fmt::format("<{}>", type_name(v));
  StrBuilder out(rt);
  append_repr(rt, out, v);
  return out.take().text;
}

}  // namespace turgo::jinja
