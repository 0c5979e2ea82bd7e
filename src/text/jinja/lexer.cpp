#include "text/jinja/lexer.h"

#include <algorithm>
#include <cstdlib>

#include "core/error.h"
#include "text/jinja/builtins.h"

namespace turgo::jinja {

void syntax_error(int line, const std::string& message) {
  fail(ErrorCode::kCorrupt, "chat template, line {}: {}", line, one_line(message, 200));
}

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_byte(char c) {
  auto u = static_cast<unsigned char>(c);
  return is_digit(c) || (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || c == '_' || u >= 0x80;
}

// "\r\n" and "\r" become "\n"; one newline at the very end is dropped.
std::string normalise(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) root();
    add(TokenType::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest(size_t from) const { return std::string_view(source_).substr(from); }
  bool looking_at(size_t from, std::string_view text) const {
    return rest(from).substr(0, text.size()) == text;
  }

  size_t skip_space(size_t i) const {
    while (i < source_.size() && Utf8::is_space(Utf8::decode(source_, i))) i += Utf8::size_at(source_, i);
    return i;
  }

  void add(TokenType type, std::string text) { tokens_.push_back({type, line_, std::move(text)}); }

  // Moves to `end`, counting lines; the next tag knows whether it begins a line.
  void advance(size_t end) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(end), '\n'));
    if (end > at_) line_starting_ = source_[end - 1] == '\n';
    at_ = end;
  }

  // The text [at_, end) in front of a tag, after the tag's whitespace rule has been applied.
  void add_data(size_t end, char sign, bool is_variable) {
    std::string_view text = rest(at_).substr(0, end - at_);
    size_t keep = text.size();
    auto back_over_space = [&](size_t from, size_t low) {
      while (from > low) {
        size_t start = Utf8::start_before(text, from);
        if (!Utf8::is_space(Utf8::decode(text, start))) break;
        from = start;
      }
      return from;
    };
    if (sign == '-') {
      keep = back_over_space(text.size(), 0);
    } else if (sign != '+' && !is_variable) {
      size_t newline = text.rfind('\n');
      size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      if ((line_begin > 0 || line_starting_) && back_over_space(text.size(), line_begin) == line_begin) {
        keep = line_begin;
      }
    }
    if (keep > 0) add(TokenType::kData, std::string(text.substr(0, keep)));
    advance(end);
  }

  // {%- raw -%}: the offset after the tag, or 0 when this is another tag.
  size_t raw_begin(size_t tag) const {
    size_t i = tag + 2;
    if (i < source_.size() && (source_[i] == '-' || source_[i] == '+')) ++i;
    i = skip_space(i);
    if (!looking_at(i, "raw")) return 0;
    i = skip_space(i + 3);
    if (looking_at(i, "-%}")) return skip_space(i + 3);
    return looking_at(i, "%}") ? i + 2 : 0;
  }

  void root() {
    size_t tag = at_;
    while (true) {
      tag = source_.find('{', tag);
      if (tag == std::string::npos || tag + 1 >= source_.size()) {
        add(TokenType::kData, source_.substr(at_));
        advance(source_.size());
        return;
      }
      char c = source_[tag + 1];
      if (c == '{' || c == '%' || c == '#') break;
      ++tag;
    }
    char kind = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
    if (sign != '-' && sign != '+') sign = ' ';
    add_data(tag, sign, kind == '{');
    size_t raw = kind == '%' ? raw_begin(tag) : 0;
    if (raw > 0) {
      advance(raw);
      raw_block();
      return;
    }
    advance(tag + (sign == ' ' ? 2 : 3));
    if (kind == '#') {
      comment();
    } else {
      inside(kind == '{');
    }
  }

  void comment() {
    size_t end = source_.find("#}", at_);
    if (end == std::string::npos) syntax_error(line_, "a comment {# is not closed by #}");
    char before = end > at_ ? source_[end - 1] : ' ';
    end += 2;
    if (before == '-') {
      end = skip_space(end);
    } else if (before != '+' && end < source_.size() && source_[end] == '\n') {
      ++end;
    }
    advance(end);
  }

  void raw_block() {
    size_t tag = at_;
    while ((tag = source_.find("{%", tag)) != std::string::npos) {
      size_t i = tag + 2;
      char sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i++] : ' ';
      i = skip_space(i);
      if (looking_at(i, "endraw")) {
        i = skip_space(i + 6);
        size_t end = 0;
        if (looking_at(i, "-%}")) {
          end = skip_space(i + 3);
        } else if (looking_at(i, "+%}")) {
          end = i + 3;
        } else if (looking_at(i, "%}")) {
          end = i + 2 + (looking_at(i + 2, "\n") ? 1 : 0);
        }
        if (end > 0) {
          add_data(tag, sign, false);
          advance(end);
          return;
        }
      }
      tag += 2;
    }
    syntax_error(line_, "{% raw %} is not closed by {% endraw %}");
  }

  // The end of a {{ or {% tag at `at_`, or 0.
  size_t tag_end(bool is_variable) const {
    if (is_variable) {
      if (looking_at(at_, "-}}")) return skip_space(at_ + 3);
      return looking_at(at_, "}}") ? at_ + 2 : 0;
    }
    if (looking_at(at_, "-%}")) return skip_space(at_ + 3);
    if (looking_at(at_, "+%}")) return at_ + 3;
    if (!looking_at(at_, "%}")) return 0;
    return at_ + 2 + (looking_at(at_ + 2, "\n") ? 1 : 0);
  }

  void inside(bool is_variable) {
    int begin_line = line_;
    add(is_variable ? TokenType::kVariableBegin : TokenType::kBlockBegin, "");
    std::string open;  // brackets that wait for their partner
    while (at_ < source_.size()) {
      if (open.empty()) {
        if (size_t end = tag_end(is_variable)) {
          add(is_variable ? TokenType::kVariableEnd : TokenType::kBlockEnd, "");
          advance(end);
          return;
        }
      }
      if (size_t end = skip_space(at_); end > at_) {
        advance(end);
      } else if (is_digit(source_[at_])) {
        number();
      } else if (is_name_byte(source_[at_])) {
        size_t stop = at_;
        while (stop < source_.size() && is_name_byte(source_[stop])) ++stop;
        add(TokenType::kName, source_.substr(at_, stop - at_));
        advance(stop);
      } else if (source_[at_] == '\'' || source_[at_] == '"') {
        string();
      } else {
        operator_token(open);
      }
    }
    syntax_error(begin_line, is_variable ? "{{ is not closed by }}" : "{% is not closed by %}");
  }

  // (\d+_)*\d+ from i; npos when there is no digit.
  size_t digits(size_t i) const {
    if (i >= source_.size() || !is_digit(source_[i])) return std::string::npos;
    while (i < source_.size() && (is_digit(source_[i]) || (source_[i] == '_' && i + 1 < source_.size() &&
                                                           is_digit(source_[i + 1])))) {
      ++i;
    }
    return i;
  }

  void number() {
    size_t end = digits(at_);
    bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    size_t fraction = end < source_.size() && source_[end] == '.' ? digits(end + 1) : std::string::npos;
    size_t mantissa = fraction == std::string::npos ? end : fraction;
    size_t exponent = std::string::npos;
    if (mantissa < source_.size() && (source_[mantissa] == 'e' || source_[mantissa] == 'E')) {
      size_t i = mantissa + 1;
      if (i < source_.size() && (source_[i] == '+' || source_[i] == '-')) ++i;
      exponent = digits(i);
    }
    size_t float_end = exponent != std::string::npos ? exponent : fraction;
    if (!after_dot && float_end != std::string::npos) {
      std::string text = source_.substr(at_, float_end - at_);
      text.erase(std::remove(text.begin(), text.end(), '_'), text.end());
      add(TokenType::kFloat, text);
      tokens_.back().number = *parse_float(text);
      advance(float_end);
      return;
    }
    integer(end);
  }

  void integer(size_t end) {
    int base = 10;
    size_t begin = at_;
    if (source_[at_] == '0' && at_ + 1 < source_.size()) {
      char c = static_cast<char>(source_[at_ + 1] | 0x20);
      base = c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 10;
      if (base != 10) {
        begin = at_ + 2;
        end = begin;
        while (end < source_.size() &&
               (std::isxdigit(static_cast<unsigned char>(source_[end])) || source_[end] == '_')) {
          ++end;
        }
      }
    }
    Int value = 0;
    for (size_t i = begin; i < end; ++i) {
      char c = source_[i];
      if (c == '_') continue;
      int digit = is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10;
      if (digit >= base) syntax_error(line_, "malformed number");
      if (__builtin_mul_overflow(value, Int{base}, &value) ||
          __builtin_add_overflow(value, Int{digit}, &value)) {
        syntax_error(line_, "an integer does not fit 128 bits");
      }
    }
    if (begin == end) syntax_error(line_, "malformed number");
    add(TokenType::kInteger, "");
    tokens_.back().integer = value;
    advance(end);
  }

  void string() {
    char quote_char = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote_char) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) syntax_error(line_, "a string is not closed");
    add(TokenType::kString, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  // Python's "unicode-escape" codec after "backslashreplace".
  std::string unescape(std::string_view raw) const {
    std::string out;
    for (size_t i = 0; i < raw.size();) {
      if (raw[i] != '\\' || i + 1 >= raw.size()) {
        out += raw[i++];
        continue;
      }
      char c = raw[i + 1];
      static constexpr std::string_view kFrom = "\\'\"abfnrtv";
      static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
      if (size_t known = kFrom.find(c); known != std::string_view::npos) {
        out += kTo[known];
        i += 2;
      } else if (c == '\n') {
        i += 2;
      } else if (c >= '0' && c <= '7') {
        i += 1;
        char32_t value = 0;
        for (int k = 0; k < 3 && i < raw.size() && raw[i] >= '0' && raw[i] <= '7'; ++k, ++i) {
          value = value * 8 + static_cast<char32_t>(raw[i] - '0');
        }
        Utf8::append(out, value);
      } else if (c == 'x' || c == 'u' || c == 'U') {
        size_t size = c == 'x' ? 2 : c == 'u' ? 4 : 8;
        std::string_view hex = raw.substr(i + 2, size);
        auto is_hex = [](char h) { return std::isxdigit(static_cast<unsigned char>(h)) != 0; };
        if (hex.size() < size || !std::all_of(hex.begin(), hex.end(), is_hex)) {
          syntax_error(line_, fmt::format("truncated \\{} escape in a string", c));
        }
        auto value = static_cast<char32_t>(std::strtoul(std::string(hex).c_str(), nullptr, 16));
        if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
          syntax_error(line_, fmt::format("\\{}{} is not a character", c, hex));
        }
        Utf8::append(out, value);
        i += 2 + size;
      } else if (c == 'N') {
        syntax_error(line_, "character names (\\N{...}) are not supported");
      } else if (static_cast<unsigned char>(c) >= 0x80) {
        // The codec sees \ followed by an escaped character: a literal backslash and the escape's letters.
        auto code = static_cast<uint32_t>(Utf8::decode(raw, i + 1));
        out += code < 0x100     ? fmt::format("\\x{:02x}", code)
               : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                                : fmt::format("\\U{:08x}", code);
        i += 1 + Utf8::size_at(raw, i + 1);
      } else {
        out += '\\';
        out += c;
        i += 2;
      }
    }
    return out;
  }

  void operator_token(std::string& open) {
    static constexpr std::string_view kOperators[] = {"**", "//", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (std::string_view op : kOperators) {
      if (!looking_at(at_, op)) continue;
      if (op == "(" || op == "[" || op == "{") {
        open += op == "(" ? ')' : op == "[" ? ']' : '}';
      } else if (op == ")" || op == "]" || op == "}") {
        if (open.empty()) syntax_error(line_, fmt::format("unexpected '{}'", op));
        if (open.back() != op[0])
          syntax_error(line_, fmt::format("unexpected '{}', expected '{}'", op, open.back()));
        open.pop_back();
      }
      add(TokenType::kOperator, std::string(op));
      advance(at_ + op.size());
      return;
    }
    syntax_error(line_, fmt::format("unexpected character '{}'", source_[at_]));
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const Limits& limits) {
  if (source.size() > limits.max_source_bytes) {
    fail(ErrorCode::kResourceExhausted, "chat template: at most {} bytes are allowed, got {}",
         limits.max_source_bytes, source.size());
  }
  if (!Utf8::valid(source)) fail(ErrorCode::kCorrupt, "chat template: the text is not valid UTF-8");
  return Lexer(normalise(source)).run();
}

}  // namespace turgo::jinja
