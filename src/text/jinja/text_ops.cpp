// Operations on strings that filters and methods share: slicing, stripping, replacing, splitting, case,
// numbers.
#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "text/jinja/builtins.h"
#include "text/jinja/case_tables.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

StrRef slice(Runtime& rt, const Str& s, size_t begin, size_t end, bool markup) {
  StrBuilder out(rt);
  out.add(s, begin, end);
  return out.finish(markup);
}

StrRef strip(Runtime& rt, const Str& s, const Str* chars, Side side) {
  rt.step(s.text.size() / 256);
  auto drop = [&](size_t at) {
    size_t size = Utf8::size_at(s.text, at);
    if (!chars) return Utf8::is_space(Utf8::decode(s.text, at));
    std::string_view c = std::string_view(s.text).substr(at, size);
    return chars->text.find(c) != std::string::npos;
  };
  if (chars && chars->text.size() > 64) rt.step(s.text.size() * (chars->text.size() / 64) / 16);
  size_t begin = 0;
  size_t end = s.text.size();
  if (side != Side::kRight) {
    while (begin < end && drop(begin)) begin += Utf8::size_at(s.text, begin);
  }
  if (side != Side::kLeft) {
    while (end > begin) {
      size_t start = Utf8::start_before(s.text, end);
      if (!drop(start)) break;
      end = start;
    }
  }
  return slice(rt, s, begin, end, s.markup);
}

StrRef replace(Runtime& rt, const Str& s, const Str& from, const Str& to, int64_t count) {
  rt.step(s.text.size() / 64);
  StrBuilder out(rt);
  size_t at = 0;
  if (from.text.empty()) {  // between all characters, and at both ends
    while (count != 0) {
      out.add(to);
      --count;
      if (at >= s.text.size()) return out.finish();
      size_t size = Utf8::size_at(s.text, at);
      out.add(s, at, at + size);
      at += size;
    }
  }
  while (count != 0) {
    size_t found = s.text.find(from.text, at);
    if (found == std::string::npos || from.text.empty()) break;
    rt.step();
    out.add(s, at, found);
    out.add(to);
    at = found + from.text.size();
    --count;
  }
  out.add(s, at, s.text.size());
  return out.finish();
}

std::vector<Value> split_lines(Runtime& rt, const Str& s, bool keep_ends) {
  std::vector<Value> lines;
  size_t begin = 0;
  auto is_break = [](char32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  for (size_t at = 0; at < s.text.size();) {
    size_t size = Utf8::size_at(s.text, at);
    if (!is_break(Utf8::decode(s.text, at))) {
      at += size;
      continue;
    }
    size_t end = at;
    if (s.text[at] == '\r' && at + 1 < s.text.size() && s.text[at + 1] == '\n') ++size;
    at += size;
    rt.step();
    lines.push_back(Value::string(slice(rt, s, begin, keep_ends ? at : end)));
    begin = at;
  }
  if (begin < s.text.size()) lines.push_back(Value::string(slice(rt, s, begin, s.text.size())));
  return lines;
}

StrRef escape_html(Runtime& rt, const Str& s) {
  StrBuilder out(rt);
  size_t run = 0;
  InputCursor marks(s);
  for (size_t at = 0; at < s.text.size(); ++at) {
    const char* entity = nullptr;
    switch (s.text[at]) {
      case '&':
        entity = "&amp;";
        break;
      case '<':
        entity = "&lt;";
        break;
      case '>':
        entity = "&gt;";
        break;
      case '"':
        entity = "&#34;";
        break;
      case '\'':
        entity = "&#39;";
        break;
      default:
        continue;
    }
    out.add(s, run, at);
    out.add(entity, marks.at(at));
    run = at + 1;
  }
  out.add(s, run, s.text.size());
  return out.finish(true);
}

namespace {

char ascii_case(char c, bool upper) {
  if (upper) return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool is_cased(char32_t c) {
  auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT || utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) ||
         utf8proc_islower(static_cast<utf8proc_int32_t>(c));
}

bool is_case_ignorable(char32_t c) {
  auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME ||
         category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_LM ||
         category == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' || c == 0xB7 || c == 0x2019;
}

// A capital sigma at the end of a word becomes a final sigma.
bool is_final_sigma(const Str& s, size_t at) {
  bool before = false;
  for (size_t i = at; i > 0;) {
    i = Utf8::start_before(s.text, i);
    char32_t c = Utf8::decode(s.text, i);
    if (is_case_ignorable(c)) continue;
    before = is_cased(c);
    break;
  }
  for (size_t i = at + 2; before && i < s.text.size(); i += Utf8::size_at(s.text, i)) {
    char32_t c = Utf8::decode(s.text, i);
    if (is_case_ignorable(c)) continue;
    return !is_cased(c);
  }
  return before;
}

void append_case(Runtime& rt, std::string& out, const Str& s, size_t at, Case to) {
  char32_t c = Utf8::decode(s.text, at);
  auto code = static_cast<utf8proc_int32_t>(c);
  if (to == Case::kUpper || to == Case::kTitle) {
    if (const SpecialCase* special = find_special_case(c)) {
      out += to == Case::kUpper ? special->upper : special->title;
      return;
    }
    Utf8::append(out,
                 static_cast<char32_t>(to == Case::kUpper ? utf8proc_toupper(code) : utf8proc_totitle(code)));
  } else if (c == 0x130) {
    out += "i\xCC\x87";
  } else if (c == 0x3A3) {
    rt.step();
    Utf8::append(out, is_final_sigma(s, at) ? 0x3C2 : 0x3C3);
  } else {
    Utf8::append(out, static_cast<char32_t>(utf8proc_tolower(code)));
  }
}

}  // namespace

StrRef change_case(Runtime& rt, const Str& s, Case to) {
  rt.step(s.text.size() / 64);
  StrBuilder out(rt);
  if (s.ascii && (to == Case::kUpper || to == Case::kLower)) {
    Str copy;
    copy.text = s.text;
    copy.input = s.input;
    for (char& c : copy.text) c = ascii_case(c, to == Case::kUpper);
    out.add(copy);
    return out.finish();
  }
  InputCursor marks(s);
  bool previous_cased = false;
  std::string mapped;
  for (size_t at = 0; at < s.text.size(); at += Utf8::size_at(s.text, at)) {
    char32_t c = Utf8::decode(s.text, at);
    Case one = to;
    if (to == Case::kCapitalize) one = at == 0 ? Case::kTitle : Case::kLower;
    if (to == Case::kTitle && previous_cased) one = Case::kLower;
    if (to == Case::kSwap)
      one = utf8proc_isupper(static_cast<utf8proc_int32_t>(c)) ? Case::kLower : Case::kUpper;
    previous_cased = is_cased(c);
    mapped.clear();
    append_case(rt, mapped, s, at, one);
    out.add(mapped, marks.at(at));
  }
  return out.finish();
}

bool is_upper_text(const Str& s) {
  bool cased = false;
  for (size_t at = 0; at < s.text.size(); at += Utf8::size_at(s.text, at)) {
    auto c = static_cast<utf8proc_int32_t>(Utf8::decode(s.text, at));
    if (utf8proc_islower(c) || utf8proc_category(c) == UTF8PROC_CATEGORY_LT) return false;
    cased = cased || utf8proc_isupper(c);
  }
  return cased;
}

bool is_lower_text(const Str& s) {
  bool cased = false;
  for (size_t at = 0; at < s.text.size(); at += Utf8::size_at(s.text, at)) {
    auto c = static_cast<utf8proc_int32_t>(Utf8::decode(s.text, at));
    if (utf8proc_isupper(c) || utf8proc_category(c) == UTF8PROC_CATEGORY_LT) return false;
    cased = cased || utf8proc_islower(c);
  }
  return cased;
}

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && Utf8::is_space(Utf8::decode(text, 0))) text.remove_prefix(Utf8::size_at(text, 0));
  while (!text.empty()) {
    size_t start = Utf8::start_before(text, text.size());
    if (!Utf8::is_space(Utf8::decode(text, start))) break;
    text = text.substr(0, start);
  }
  return text;
}

// Drops underscores that stand between two digits; false when one stands elsewhere.
bool drop_underscores(std::string_view text, std::string& out) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
      continue;
    }
    bool between = i > 0 && i + 1 < text.size() && std::isalnum(static_cast<unsigned char>(text[i - 1])) &&
                   std::isalnum(static_cast<unsigned char>(text[i + 1]));
    if (!between) return false;
  }
  return true;
}

}  // namespace

std::optional<Int> parse_int(Runtime& rt, std::string_view text, int base) {
  if (base != 0 && (base < 2 || base > 36)) rt.type_error("int() base must be >= 2 and <= 36, or 0");
  text = trimmed(text);
  bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  std::string digits;
  if (text.size() > 2 && text[0] == '0') {
    char c = static_cast<char>(text[1] | 0x20);
    int prefix = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
    if (prefix != 0 && (base == prefix || base == 0)) {
      base = prefix;
      text.remove_prefix(text[2] == '_' ? 3 : 2);
    }
  }
  if (base == 0) base = 10;
  if (!drop_underscores(text, digits) || digits.empty()) return std::nullopt;
  Int value = 0;
  for (char c : digits) {
    int digit = 99;
    if (c >= '0' && c <= '9') digit = c - '0';
    if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') digit = (c | 0x20) - 'a' + 10;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, Int{base}, &value) ||
        __builtin_add_overflow(value, Int{digit}, &value)) {
      rt.type_error("an integer does not fit 128 bits");
    }
  }
  return negative ? -value : value;
}

std::optional<double> parse_float(std::string_view raw) {
  std::string text;
  if (!drop_underscores(trimmed(raw), text)) return std::nullopt;
  size_t i = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  bool negative = i == 1 && text[0] == '-';
  std::string word = text.substr(i);
  for (char& c : word) c = ascii_case(c, false);
  if (word == "inf" || word == "infinity") return negative ? -HUGE_VAL : HUGE_VAL;
  if (word == "nan") return std::nan("");
  auto skip_digits = [&] {
    size_t begin = i;
    while (i < text.size() && text[i] >= '0' && text[i] <= '9') ++i;
    return i - begin;
  };
  size_t digits = skip_digits();
  if (i < text.size() && text[i] == '.') {
    ++i;
    digits += skip_digits();
  }
  if (digits == 0) return std::nullopt;
  if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
    ++i;
    if (i < text.size() && (text[i] == '-' || text[i] == '+')) ++i;
    if (skip_digits() == 0) return std::nullopt;
  }
  if (i != text.size()) return std::nullopt;
  return std::strtod(text.c_str(), nullptr);  // the process keeps the C locale
}

}  // namespace turgo::jinja
