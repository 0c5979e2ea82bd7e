// Methods of strings, with Python's semantics on code points.
#include <utf8proc.h>

#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

bool is_word_character(char32_t c) {
  if (c < 0x80) return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

StrRef pad(Runtime& rt, const Str& s, int64_t width, const Str& fill, Side side) {
  auto size = static_cast<int64_t>(s.length());
  if (width > static_cast<int64_t>(rt.limits.max_string_bytes)) rt.check_repeat(1, width);
  int64_t missing = std::max<int64_t>(0, width - size);
  int64_t left = side == Side::kLeft    ? missing
                 : side == Side::kRight ? 0
                                        : missing / 2 + (missing & width & 1);
  StrBuilder out(rt);
  out.add_repeated(fill.text, left, fill.any_input());
  out.add(s);
  out.add_repeated(fill.text, missing - left, fill.any_input());
  return out.finish(s.markup);
}

namespace {

Value text(StrRef s) {
  return Value::string(std::move(s));
}

template <Case to>
Value cased(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "case method", args);
  return text(change_case(rt, *self.str, to));
}

template <Side side>
Value strip_method(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "strip", args, {"chars"});
  StrRef chars = p.given(0) ? p.text(0) : nullptr;
  return text(strip(rt, *self.str, chars.get(), side));
}

// The byte range of s[start:end] for the optional bounds of find, count, startswith …
struct Bounds {
  size_t begin, end;
  bool valid;
};
Bounds bounds(Runtime& rt, const Str& s, const Params& p, size_t start, size_t stop) {
  if (!p.given(start) && !p.given(stop)) return {0, s.text.size(), true};
  auto n = static_cast<int64_t>(s.length());
  rt.step(s.ascii ? 0 : s.text.size() / 128);
  auto clamp = [&](int64_t i) { return std::max<int64_t>(0, i < 0 ? i + n : i); };
  int64_t first = p.given(start) ? clamp(p.integer(start, 0)) : 0;
  int64_t last = std::min(p.given(stop) ? clamp(p.integer(stop, n)) : n, n);
  if (first > n || first > last) return {0, 0, false};
  return {byte_offset(s, static_cast<size_t>(first)), byte_offset(s, static_cast<size_t>(last)), true};
}

template <bool at_end>
Value has_affix(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, at_end ? "endswith" : "startswith", args, {"prefix", "start", "end"}, 1);
  Bounds b = bounds(rt, *self.str, p, 1, 2);
  std::string_view s = std::string_view(self.str->text).substr(b.begin, b.end - b.begin);
  auto matches = [&](const Value& affix) {
    if (!affix.is_string()) rt.type_error("startswith and endswith need a string or a tuple of strings");
    std::string_view t = affix.str->text;
    return b.valid && (at_end ? s.ends_with(t) : s.starts_with(t));
  };
  if (p[0].is(Kind::kUndefined)) undefined_error(rt, p[0]);
  if (!p[0].is(Kind::kTuple)) return Value::boolean(matches(p[0]));
  const auto& choices = p[0].list().items;
  rt.step(choices.size());
  return Value::boolean(std::any_of(choices.begin(), choices.end(), matches));
}

int64_t code_points(std::string_view s) {
  return std::count_if(s.begin(), s.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

template <bool from_right, bool must_exist>
Value find_method(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "find", args, {"sub", "start", "end"}, 1);
  const Str& s = *self.str;
  Bounds b = bounds(rt, s, p, 1, 2);
  rt.step(s.text.size() / 64);
  StrRef sub = p.text(0);
  std::string_view window = std::string_view(s.text).substr(b.begin, b.end - b.begin);
  size_t at = !b.valid     ? std::string_view::npos
              : from_right ? window.rfind(sub->text)
                           : window.find(sub->text);
  if (at == std::string_view::npos) {
    if (must_exist) rt.type_error("substring not found");
    return Value::integer(-1);
  }
  return Value::integer(code_points(std::string_view(s.text).substr(0, b.begin + at)));
}

Value count(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "count", args, {"sub", "start", "end"}, 1);
  const Str& s = *self.str;
  Bounds b = bounds(rt, s, p, 1, 2);
  rt.step(s.text.size() / 64);
  StrRef sub = p.text(0);
  if (!b.valid) return Value::integer(0);
  std::string_view window = std::string_view(s.text).substr(b.begin, b.end - b.begin);
  if (sub->text.empty()) return Value::integer(code_points(window) + 1);
  int64_t n = 0;
  for (size_t at = 0; (at = window.find(sub->text, at)) != std::string_view::npos; at += sub->text.size())
    ++n;
  return Value::integer(n);
}

Value replace_method(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "replace", args, {"old", "new", "count"}, 2);
  return text(replace(rt, *self.str, *p.text(0), *p.text(1), p.integer(2, -1)));
}

std::vector<Value> split_space(Runtime& rt, const Str& s, int64_t limit) {
  std::vector<Value> parts;
  size_t at = 0;
  auto skip = [&](bool space) {
    while (at < s.text.size() && Utf8::is_space(Utf8::decode(s.text, at)) == space)
      at += Utf8::size_at(s.text, at);
  };
  while (true) {
    skip(true);
    if (at >= s.text.size()) return parts;
    size_t begin = at;
    rt.step();
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(text(slice(rt, s, begin, s.text.size())));
      return parts;
    }
    skip(false);
    parts.push_back(text(slice(rt, s, begin, at)));
  }
}

std::vector<Value> rsplit_space(Runtime& rt, const Str& s, int64_t limit) {
  std::vector<Value> parts;
  size_t end = s.text.size();
  auto skip = [&](bool space) {
    while (end > 0) {
      size_t start = Utf8::start_before(s.text, end);
      if (Utf8::is_space(Utf8::decode(s.text, start)) != space) break;
      end = start;
    }
  };
  while (true) {
    skip(true);
    if (end == 0) break;
    size_t stop = end;
    rt.step();
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(text(slice(rt, s, 0, stop)));
      break;
    }
    skip(false);
    parts.push_back(text(slice(rt, s, end, stop)));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

template <bool from_right>
Value split(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "split", args, {"sep", "maxsplit"});
  const Str& s = *self.str;
  int64_t limit = p.integer(1, -1);
  rt.step(s.text.size() / 64);
  if (!p.given(0)) return rt.new_list(from_right ? rsplit_space(rt, s, limit) : split_space(rt, s, limit));
  StrRef separator = p.text(0);
  const std::string& sep = separator->text;
  if (sep.empty()) rt.type_error("empty separator");
  std::vector<Value> parts;
  if (from_right) {
    size_t end = s.text.size();
    while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
      size_t found = end < sep.size() ? std::string::npos : s.text.rfind(sep, end - sep.size());
      if (found == std::string::npos) break;
      rt.step();
      parts.push_back(text(slice(rt, s, found + sep.size(), end)));
      end = found;
    }
    parts.push_back(text(slice(rt, s, 0, end)));
    std::reverse(parts.begin(), parts.end());
    return rt.new_list(std::move(parts));
  }
  size_t at = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    size_t found = s.text.find(sep, at);
    if (found == std::string::npos) break;
    rt.step();
    parts.push_back(text(slice(rt, s, at, found)));
    at = found + sep.size();
  }
  parts.push_back(text(slice(rt, s, at, s.text.size())));
  return rt.new_list(std::move(parts));
}

template <bool from_right>
Value partition(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "partition", args, {"sep"}, 1);
  const Str& s = *self.str;
  StrRef sep = p.text(0);
  if (sep->text.empty()) rt.type_error("empty separator");
  size_t at = from_right ? s.text.rfind(sep->text) : s.text.find(sep->text);
  Value none = Value::string(std::string());
  if (at == std::string::npos) {
    return from_right ? rt.new_tuple({none, none, self}) : rt.new_tuple({self, none, none});
  }
  size_t after = at + sep->text.size();
  return rt.new_tuple(
      {text(slice(rt, s, 0, at)), text(slice(rt, s, at, after)), text(slice(rt, s, after, s.text.size()))});
}

Value splitlines(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "splitlines", args, {"keepends"});
  return rt.new_list(split_lines(rt, *self.str, p.flag(0, false)));
}

Value join(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "join", args, {"iterable"}, 1);
  StrBuilder out(rt);
  bool first = true;
  for (const Value& item : elements(rt, p[0])) {
    if (!item.is_string()) rt.type_error("join: expected str instances, {} found", type_name(item));
    if (!first) out.add(*self.str);
    first = false;
    out.add(*item.str);
  }
  return text(out.finish());
}

template <Side side>
Value justify(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "justify", args, {"width", "fillchar"}, 1);
  StrRef fill = p.has(1) ? p.text(1) : constant_str(" ");
  if (fill->length() != 1) rt.type_error("the fill character must be exactly one character long");
  return text(pad(rt, *self.str, p.integer(0, 0), *fill, side));
}

Value zfill(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, "zfill", args, {"width"}, 1);
  const Str& s = *self.str;
  bool sign = !s.text.empty() && (s.text[0] == '+' || s.text[0] == '-');
  StrBuilder out(rt);
  out.add(s, 0, sign ? 1 : 0);
  int64_t missing = p.integer(0, 0) - static_cast<int64_t>(s.length());
  out.add_repeated("0", missing);
  out.add(s, sign ? 1 : 0, s.text.size());
  return text(out.finish());
}

template <bool at_end>
Value remove_affix(Runtime& rt, const Value& self, Args& args) {
  Params p(rt, at_end ? "removesuffix" : "removeprefix", args, {"affix"}, 1);
  const std::string& s = self.str->text;
  const std::string affix = p.text(0)->text;
  if (affix.empty() || !(at_end ? s.ends_with(affix) : s.starts_with(affix))) return self;
  return text(at_end ? slice(rt, *self.str, 0, s.size() - affix.size())
                     : slice(rt, *self.str, affix.size(), s.size()));
}

Value format_method(Runtime& rt, const Value& self, Args& args) {
  return format_braces(rt, *self.str, args);
}

bool category_in(char32_t c, std::initializer_list<utf8proc_category_t> categories) {
  auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return std::find(categories.begin(), categories.end(), category) != categories.end();
}
bool is_alpha(char32_t c) {
  return category_in(c, {UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LL, UTF8PROC_CATEGORY_LT,
                         UTF8PROC_CATEGORY_LM, UTF8PROC_CATEGORY_LO});
}
bool is_decimal(char32_t c) {
  return category_in(c, {UTF8PROC_CATEGORY_ND});
}
bool is_digit(char32_t c) {
  return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
         (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089);
}
bool is_numeric(char32_t c) {
  return category_in(c, {UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NL, UTF8PROC_CATEGORY_NO});
}
bool is_alnum(char32_t c) {
  return is_alpha(c) || is_numeric(c);
}

template <bool (*predicate)(char32_t)>
Value all_of(Runtime& rt, const Value& self, Args& args) {
  refuse_arguments(rt, "predicate", args);
  const std::string& s = self.str->text;
  rt.step(s.size() / 64);
  for (size_t at = 0; at < s.size(); at += Utf8::size_at(s, at)) {
    if (!predicate(Utf8::decode(s, at))) return Value::boolean(false);
  }
  return Value::boolean(!s.empty());
}

Value is_ascii(Runtime&, const Value& self, Args&) {
  return Value::boolean(self.str->ascii);
}
Value is_upper(Runtime&, const Value& self, Args&) {
  return Value::boolean(is_upper_text(*self.str));
}
Value is_lower(Runtime&, const Value& self, Args&) {
  return Value::boolean(is_lower_text(*self.str));
}

constexpr Named<MethodFn> kMethods[] = {
    {"split", split<false>},
    {"strip", strip_method<Side::kBoth>},
    {"lstrip", strip_method<Side::kLeft>},
    {"rstrip", strip_method<Side::kRight>},
    {"startswith", has_affix<false>},
    {"endswith", has_affix<true>},
    {"replace", replace_method},
    {"format", format_method},
    {"upper", cased<Case::kUpper>},
    {"lower", cased<Case::kLower>},
    {"title", cased<Case::kTitle>},
    {"capitalize", cased<Case::kCapitalize>},
    {"swapcase", cased<Case::kSwap>},
    {"casefold", cased<Case::kLower>},
    {"join", join},
    {"find", find_method<false, false>},
    {"rfind", find_method<true, false>},
    {"index", find_method<false, true>},
    {"rindex", find_method<true, true>},
    {"count", count},
    {"rsplit", split<true>},
    {"splitlines", splitlines},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"ljust", justify<Side::kRight>},
    {"rjust", justify<Side::kLeft>},
    {"center", justify<Side::kBoth>},
    {"zfill", zfill},
    {"isalpha", all_of<is_alpha>},
    {"isdigit", all_of<is_digit>},
    {"isdecimal", all_of<is_decimal>},
    {"isnumeric", all_of<is_numeric>},
    {"isalnum", all_of<is_alnum>},
    {"isspace", all_of<Utf8::is_space>},
    {"isascii", is_ascii},
    {"isupper", is_upper},
    {"islower", is_lower},
};

}  // namespace

const Named<MethodFn>* find_str_method(std::string_view name) {
  return find_named(kMethods, name);
}

}  // namespace turgo::jinja
