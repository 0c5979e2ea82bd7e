// str % values and str.format(…): Python's two formatting languages, for strings, integers and floats.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace turgo::jinja {

namespace {

struct Spec {
  std::string fill = " ";
  char align = 0;  // < > ^ =, 0: by type
  char sign = 0;   // + - space, 0: none asked for
  bool alternate = false;
  bool zero = false;  // a 0 in front of the width
  int64_t width = 0;
  char grouping = 0;
  int64_t precision = -1;
  char type = 0;
};

constexpr int64_t kMaxPrecision = 1000;  // of a float; %.*f writes up to 309 digits before the point

int64_t read_number(Runtime& rt, std::string_view text, size_t& i) {
  int64_t n = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    n = n * 10 + (text[i] - '0');
    if (n > static_cast<int64_t>(rt.limits.max_string_bytes))
      rt.out_of("the largest string as the width of a field");
  }
  return n;
}

void grouped(std::string& digits, char separator) {
  for (auto i = static_cast<int64_t>(digits.size()) - 3; i > 0; i -= 3) {
    digits.insert(static_cast<size_t>(i), 1, separator);
  }
}

std::string float_digits(Runtime& rt, double d, const Spec& spec) {
  if (spec.precision > kMaxPrecision) rt.type_error("a precision of {} is too large", spec.precision);
  char type = spec.type == '%' ? 'f' : spec.type;
  bool upper = type == 'F' || type == 'E' || type == 'G';
  if (std::isinf(d) || std::isnan(d)) {
    std::string word = std::isnan(d) ? "nan" : "inf";
    if (upper) word = std::isnan(d) ? "NAN" : "INF";
    return word + (spec.type == '%' ? "%" : "");
  }
  std::string out;
  if (type == 0 && spec.precision < 0) {
    out = float_text(d);
  } else {
    int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    if (type == 0 || type == 'n') type = 'g';
    std::string pattern = fmt::format("%{}.*{}", spec.alternate ? "#" : "", type);
    std::vector<char> buffer(static_cast<size_t>(precision) + 400);
    int size = std::snprintf(buffer.data(), buffer.size(), pattern.c_str(), precision, d);
    out.assign(buffer.data(), static_cast<size_t>(size));
    bool whole = out.find_first_of(".en") == std::string::npos;
    if (spec.type == 0 && whole) out = fmt::format("{}.0", out);
  }
  if (spec.grouping) {
    size_t end = out.find_first_of(".e");
    std::string digits = out.substr(0, end);
    std::string rest = end == std::string::npos ? "" : out.substr(end);
    grouped(digits, spec.grouping);
    out = digits + rest;
  }
  return out + (spec.type == '%' ? "%" : "");
}

std::string int_digits(Runtime& rt, Int magnitude, const Spec& spec) {
  int base = 10;
  char prefix = 0;
  switch (spec.type) {
    case 'x':
    case 'X':
      base = 16;
      prefix = 'x';
      break;
    case 'o':
      base = 8;
      prefix = 'o';
      break;
    case 'b':
      base = 2;
      prefix = 'b';
      break;
    case 'd':
    case 'n':
    case 0:
      break;
    default:
      rt.type_error("unknown format code '{}' for an integer", spec.type);
  }
  std::string digits;
  do {
    int digit = static_cast<int>(magnitude % base);
    digits += static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10);
    magnitude /= base;
  } while (magnitude != 0);
  std::reverse(digits.begin(), digits.end());
  if (spec.grouping) grouped(digits, spec.grouping);
  if (spec.alternate && prefix) digits = fmt::format("0{}{}", prefix, digits);
  if (spec.type == 'X')
    std::transform(digits.begin(), digits.end(), digits.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return digits;
}

void add_padded(StrBuilder& out, const Str& body, const std::string& sign, bool input, const Spec& spec,
                char align) {
  auto size = static_cast<int64_t>(body.length() + sign.size());
  int64_t missing = std::max<int64_t>(0, spec.width - size);
  int64_t left = align == '>' ? missing : align == '^' ? missing / 2 : 0;
  out.add_repeated(spec.fill, left);
  out.add(sign, input);
  if (align == '=') out.add_repeated(spec.fill, missing);
  out.add(body);
  if (align != '=') out.add_repeated(spec.fill, missing - left);
}

void add_number(Runtime& rt, StrBuilder& out, const Value& v, Spec spec) {
  bool negative = false;
  std::string digits;
  bool float_type = spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  if (v.is_integral() && !float_type) {
    Int i = v.to_int();
    negative = i < 0;
    if (spec.precision >= 0) rt.type_error("precision not allowed in integer format specifier");
    if (negative && __builtin_sub_overflow(Int{0}, i, &i)) rt.type_error("integer overflow");
    digits = int_digits(rt, i, spec);
  } else {
    double d = v.to_double();
    if (spec.type != 0 && !float_type && spec.type != 'n') {
      rt.type_error("unknown format code '{}' for a float", spec.type);
    }
    if (spec.type == '%') d *= 100;
    negative = std::signbit(d) && !std::isnan(d);
    digits = float_digits(rt, std::abs(d), spec);
  }
  std::string sign = negative ? "-" : spec.sign == 0 || spec.sign == '-' ? "" : std::string(1, spec.sign);
  Value body = rt.new_str(digits, v.input);
  add_padded(out, *body.str, sign, v.input, spec, spec.align ? spec.align : '>');
}

void add_text(Runtime& rt, StrBuilder& out, const Str& s, const Spec& spec) {
  StrRef cut;
  const Str* body = &s;
  if (spec.precision >= 0) {
    cut = slice(rt, s, 0, byte_offset(s, static_cast<size_t>(spec.precision)));
    body = cut.get();
  }
  add_padded(out, *body, "", false, spec, spec.align ? spec.align : '<');
}

// --- % ---

class PercentValues {
 public:
  PercentValues(Runtime& rt, const std::vector<Value>& positional, const Dict* mapping, bool must_use_all)
      : rt_(rt), positional_(positional), mapping_(mapping), must_use_all_(must_use_all) {}

  Value next() {
    if (at_ >= positional_.size()) rt_.type_error("not enough arguments for format string");
    return positional_[at_++];
  }
  Value named(std::string_view key) {
    if (!mapping_) rt_.type_error("format requires a mapping");
    const Value* found = mapping_->find(key);
    if (!found) rt_.type_error("format: there is no key '{}'", key);
    return *found;
  }
  void finish() const {
    if (must_use_all_ && at_ < positional_.size()) {
      rt_.type_error("not all arguments converted during string formatting");
    }
  }

 private:
  Runtime& rt_;
  const std::vector<Value>& positional_;
  const Dict* mapping_;
  bool must_use_all_;
  size_t at_ = 0;
};

void add_percent(Runtime& rt, StrBuilder& out, const Value& v, Spec spec) {
  switch (spec.type) {
    case 's':
      spec.align = spec.align ? spec.align : '>';
      return add_text(rt, out, *to_str(rt, v), spec);
    case 'r':
    case 'a': {
      StrBuilder text(rt);
      append_repr(rt, text, v);
      spec.align = spec.align ? spec.align : '>';
      return add_text(rt, out, *text.finish(), spec);
    }
    case 'c': {
      if (!v.is_string() || v.str->length() != 1) rt.type_error("%c requires a single character");
      spec.align = spec.align ? spec.align : '>';
      return add_text(rt, out, *v.str, spec);
    }
    default:
      break;
  }
  if (v.is(Kind::kUndefined)) undefined_error(rt, v);
  if (!v.is_number()) rt.type_error("%{} format: a real number is required, not {}", spec.type, type_name(v));
  bool integral = std::string_view("diuxXo").find(spec.type) != std::string_view::npos;
  if (!integral) return add_number(rt, out, v, spec);
  Value whole = v;
  if (v.is(Kind::kFloat)) {
    if (spec.type == 'x' || spec.type == 'X' || spec.type == 'o') {
      rt.type_error("%{} format: an integer is required, not float", spec.type);
    }
    if (!std::isfinite(v.as.number) || std::abs(v.as.number) >= 0x1p126) rt.type_error("integer overflow");
    whole = Value::integer(static_cast<Int>(v.as.number), v.input);
  }
  if (spec.type == 'i' || spec.type == 'u') spec.type = 'd';
  int64_t min_digits = std::exchange(spec.precision, -1);
  if (min_digits >= 0) {
    Int magnitude = whole.to_int() < 0 ? -whole.to_int() : whole.to_int();
    std::string digits = int_digits(rt, magnitude, spec);
    rt.check_repeat(1, min_digits);
    if (static_cast<int64_t>(digits.size()) < min_digits) {
      digits.insert(0, static_cast<size_t>(min_digits) - digits.size(), '0');
    }
    std::string sign = whole.to_int() < 0                   ? "-"
                       : spec.sign == 0 || spec.sign == '-' ? ""
                                                            : std::string(1, spec.sign);
    return add_padded(out, *rt.new_str(digits, v.input).str, sign, v.input, spec,
                      spec.align ? spec.align : '>');
  }
  add_number(rt, out, whole, spec);
}

Value run_percent(Runtime& rt, const Str& format, PercentValues& values) {
  StrBuilder out(rt);
  const std::string& f = format.text;
  for (size_t at = 0; at < f.size();) {
    size_t percent = f.find('%', at);
    if (percent == std::string::npos) percent = f.size();
    out.add(format, at, percent);
    if (percent == f.size()) break;
    rt.step();
    size_t i = percent + 1;
    Value v;
    bool has_value = false;
    if (i < f.size() && f[i] == '(') {
      size_t close = f.find(')', i);
      if (close == std::string::npos) rt.type_error("incomplete format key");
      v = values.named(std::string_view(f).substr(i + 1, close - i - 1));
      has_value = true;
      i = close + 1;
    }
    Spec spec;
    bool zero = false;
    for (; i < f.size() && std::string_view("#0- +").find(f[i]) != std::string_view::npos; ++i) {
      if (f[i] == '#') spec.alternate = true;
      if (f[i] == '0') zero = true;
      if (f[i] == '-') spec.align = '<';
      if (f[i] == '+' || (f[i] == ' ' && spec.sign != '+')) spec.sign = f[i];
    }
    if (i < f.size() && f[i] == '*') rt.type_error("'*' widths are not supported");
    spec.width = read_number(rt, f, i);
    if (i < f.size() && f[i] == '.') {
      ++i;
      spec.precision = read_number(rt, f, i);
    }
    while (i < f.size() && (f[i] == 'h' || f[i] == 'l' || f[i] == 'L')) ++i;
    if (i >= f.size()) rt.type_error("incomplete format");
    spec.type = f[i];
    at = i + 1;
    if (spec.type == '%') {
      out.add(format, i, i + 1);
      continue;
    }
    if (std::string_view("diuoxXeEfFgGcrsa").find(spec.type) == std::string_view::npos) {
      rt.type_error("unsupported format character {}", quote(f.substr(i, 1)));
    }
    if (zero && !spec.align && std::string_view("crsa").find(spec.type) == std::string_view::npos) {
      spec.fill.assign(1, '0');
      spec.align = '=';
    }
    add_percent(rt, out, has_value ? v : values.next(), spec);
  }
  values.finish();
  return Value::string(out.finish());
}

// --- str.format ---

class BraceFormatter {
 public:
  BraceFormatter(Runtime& rt, Args& args) : rt_(rt), args_(args) {}

  void run(const Str& format, size_t begin, size_t end, StrBuilder& out, int depth) {
    if (depth > 2) rt_.type_error("Max string recursion exceeded");
    const std::string& f = format.text;
    for (size_t at = begin; at < end;) {
      size_t brace = std::min(f.find_first_of("{}", at), end);
      out.add(format, at, brace);
      if (brace == end) return;
      rt_.step();
      bool doubled = brace + 1 < end && f[brace + 1] == f[brace];
      if (doubled) {
        out.add(format, brace, brace + 1);
        at = brace + 2;
        continue;
      }
      if (f[brace] == '}') rt_.type_error("Single '}}' encountered in format string");
      size_t close = closing(f, brace, end);
      field(format, brace + 1, close, out, depth);
      at = close + 1;
    }
  }

 private:
  size_t closing(const std::string& f, size_t open, size_t end) const {
    int nesting = 0;
    for (size_t i = open; i < end; ++i) {
      if (f[i] == '{') ++nesting;
      if (f[i] == '}' && --nesting == 0) return i;
    }
    rt_.type_error("expected '}}' before end of string");
  }

  void field(const Str& format, size_t begin, size_t end, StrBuilder& out, int depth) {
    const std::string& f = format.text;
    size_t name_end = begin;
    int brackets = 0;
    for (; name_end < end; ++name_end) {
      if (f[name_end] == '[') ++brackets;
      if (f[name_end] == ']') --brackets;
      if (brackets <= 0 && (f[name_end] == '!' || f[name_end] == ':')) break;
    }
    Value v = look_up(std::string_view(f).substr(begin, name_end - begin));
    size_t at = name_end;
    char conversion = 0;
    if (at < end && f[at] == '!') {
      conversion = at + 1 < end ? f[at + 1] : 0;
      at = std::min(at + 2, end);
      if (conversion != 's' && conversion != 'r' && conversion != 'a')
        rt_.type_error("unknown conversion specifier");
      if (at < end && f[at] != ':') rt_.type_error("expected ':' after conversion specifier");
    }
    std::string spec_text;
    if (at < end) {
      StrBuilder nested(rt_);
      run(format, at + 1, end, nested, depth + 1);
      spec_text = nested.take().text;
    }
    if (conversion) {
      StrBuilder text(rt_);
      if (conversion == 's') {
        append_str(rt_, text, v);
      } else {
        append_repr(rt_, text, v);
      }
      v = Value::string(text.finish());
    }
    if (spec_text.empty()) return append_str(rt_, out, v);
    Spec spec = parse_spec(spec_text);
    if (v.is_string()) {
      if (spec.type != 0 && spec.type != 's')
        rt_.type_error("unknown format code '{}' for a string", spec.type);
      if (spec.sign != 0 || spec.alternate || spec.grouping != 0 || (spec.align == '=' && !spec.zero)) {
        rt_.type_error("signs, '#', ',' and '=' do not go with strings");
      }
      if (spec.zero && spec.align == '=') spec.align = '<';
      add_text(rt_, out, *v.str, spec);
    } else if (v.is_number()) {
      add_number(rt_, out, v, spec);
    } else {
      rt_.type_error("unsupported format string for {}", type_name(v));
    }
  }

  Value look_up(std::string_view name) {
    size_t end = name.find_first_of(".[");
    std::string_view first = name.substr(0, end);
    Value v;
    bool number = std::all_of(first.begin(), first.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (first.empty() || number) {
      if (first.size() > 6) rt_.type_error("format: the argument index is too large");
      size_t i = first.empty() ? next_++ : static_cast<size_t>(std::stoi(std::string(first)));
      if (i >= args_.positional.size()) rt_.type_error("format: there is no positional argument {}", i);
      v = args_.positional[i];
    } else {
      auto it = std::find_if(args_.named.begin(), args_.named.end(),
                             [&](const auto& a) { return a.first == first; });
      if (it == args_.named.end()) rt_.type_error("format: there is no argument '{}'", first);
      v = it->second;
    }
    while (end < name.size()) {
      if (name[end] == '.') {
        size_t stop = std::min(name.find_first_of(".[", end + 1), name.size());
        v = get_attribute(rt_, v, name.substr(end + 1, stop - end - 1));
        end = stop;
      } else {
        size_t close = name.find(']', end);
        if (close == std::string_view::npos) rt_.type_error("format: missing ']'");
        std::string key(name.substr(end + 1, close - end - 1));
        auto index = parse_int(rt_, key, 10);
        v = get_item(rt_, v, index ? Value::integer(*index) : Value::string(key));
        end = close + 1;
        if (end < name.size() && name[end] != '.' && name[end] != '[')
          rt_.type_error("format: bad field name");
      }
      if (v.is(Kind::kUndefined)) undefined_error(rt_, v);
    }
    return v;
  }

  Spec parse_spec(const std::string& text) const {
    Spec spec;
    size_t i = 0;
    auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
    size_t first = text.empty() ? 0 : Utf8::size_at(text, 0);
    if (first < text.size() && is_align(text[first])) {
      spec.fill = text.substr(0, first);
      spec.align = text[first];
      i = first + 1;
    } else if (!text.empty() && is_align(text[0])) {
      spec.align = text[i++];
    }
    if (i < text.size() && (text[i] == '+' || text[i] == '-' || text[i] == ' ')) spec.sign = text[i++];
    if (i < text.size() && text[i] == '#') {
      spec.alternate = true;
      ++i;
    }
    if (i < text.size() && text[i] == '0') {
      if (!spec.align) {
        spec.fill.assign(1, '0');
        spec.align = '=';
        spec.zero = true;
      }
      ++i;
    }
    spec.width = read_number(rt_, text, i);
    if (i < text.size() && (text[i] == ',' || text[i] == '_')) spec.grouping = text[i++];
    if (i < text.size() && text[i] == '.') {
      ++i;
      spec.precision = read_number(rt_, text, i);
    }
    if (i < text.size()) spec.type = text[i++];
    if (i != text.size()) rt_.type_error("invalid format specifier");
    return spec;
  }

  Runtime& rt_;
  Args& args_;
  size_t next_ = 0;
};

}  // namespace

Value format_percent(Runtime& rt, const Str& format, const Value& values) {
  std::vector<Value> positional;
  if (values.is(Kind::kTuple)) {
    positional = values.list().items;
  } else {
    positional.push_back(values);
  }
  const Dict* mapping = values.is(Kind::kDict) ? &values.dict() : nullptr;
  bool lenient = mapping || values.is(Kind::kList) || values.is(Kind::kUndefined);
  PercentValues source(rt, positional, mapping, !lenient);
  return run_percent(rt, format, source);
}

Value format_percent(Runtime& rt, const Str& format, Args& args) {
  Value mapping = rt.new_dict();
  for (const auto& [name, value] : args.named) mapping.dict().set(rt, Value::string(name), value);
  PercentValues source(rt, args.positional, args.named.empty() ? nullptr : &mapping.dict(), true);
  return run_percent(rt, format, source);
}

Value format_braces(Runtime& rt, const Str& format, Args& args) {
  StrBuilder out(rt);
  BraceFormatter(rt, args).run(format, 0, format.text.size(), out, 0);
  return Value::string(out.finish());
}

}  // namespace turgo::jinja
