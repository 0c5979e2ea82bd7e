#include "text/pre_tokenizer_scan.h"

#include "text/unicode.h"
#include "text/utf8.h"

namespace turgo {
namespace {

enum class Kind { kLetter, kNumber, kSpace, kOther };

struct Char {
  uint32_t code;
  size_t size;  // 0 at the end of the text
  Kind kind;
};

Char char_at(std::string_view text, size_t pos) {
  if (pos >= text.size()) return {0, 0, Kind::kSpace};
  const Utf8Char c = decode_utf8(text.substr(pos));
  const CharClass cls = char_class(c.code);
  if (is_letter(cls)) return {c.code, c.size, Kind::kLetter};
  if (cls == CharClass::kNumber) return {c.code, c.size, Kind::kNumber};
  return {c.code, c.size, is_white_space(c.code) ? Kind::kSpace : Kind::kOther};
}

size_t skip(std::string_view text, size_t pos, Kind kind) {
  for (Char c = char_at(text, pos); c.size != 0 && c.kind == kind; c = char_at(text, pos)) pos += c.size;
  return pos;
}

// Length of the English contraction that starts `text` ('s, 'll …), 0 if none.
size_t contraction(std::string_view text, bool ignore_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const auto lower = [&](size_t i) {
    const char c = i < text.size() ? text[i] : '\0';
    return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char a = lower(1), b = lower(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  if (ignore_case && text.substr(1, 2) == "\u017f") return 3;  // long s folds to s
  return 0;
}

// \s+(?!\S)|\s+ : the run without its last character, unless the run ends the text or is one character.
size_t scan_space(std::string_view text) {
  size_t end = 0, last = 0;
  for (Char c = char_at(text, 0); c.size != 0 && c.kind == Kind::kSpace; c = char_at(text, end)) {
    last = end;
    end += c.size;
  }
  return end == text.size() || last == 0 ? end : last;
}

}  // namespace

size_t scan_gpt2(std::string_view text) {
  if (const size_t size = contraction(text, false)) return size;
  Char c = char_at(text, 0);
  size_t pos = 0;
  if (c.code == ' ') {
    const Char next = char_at(text, 1);
    if (next.size != 0 && next.kind != Kind::kSpace) {
      pos = 1;
      c = next;
    }
  }
  if (c.kind == Kind::kSpace) return scan_space(text);
  return skip(text, pos + c.size, c.kind);
}

size_t scan_llama3(std::string_view text, int max_digits) {
  if (const size_t size = contraction(text, true)) return size;
  const Char c = char_at(text, 0);
  if (c.kind == Kind::kLetter) return skip(text, c.size, Kind::kLetter);
  const bool newline = c.code == '\r' || c.code == '\n';
  if (c.kind == Kind::kNumber) {
    size_t pos = c.size;
    for (int i = 1; i < max_digits; ++i) {
      const Char next = char_at(text, pos);
      if (next.size == 0 || next.kind != Kind::kNumber) break;
      pos += next.size;
    }
    return pos;
  }
  const Char next = char_at(text, c.size);
  if (!newline && next.size != 0 && next.kind == Kind::kLetter)
    return skip(text, c.size + next.size, Kind::kLetter);
  if (c.kind == Kind::kOther || (c.code == ' ' && next.size != 0 && next.kind == Kind::kOther)) {
    size_t pos = skip(text, c.kind == Kind::kOther ? c.size : c.size + next.size, Kind::kOther);
    while (pos < text.size() && (text[pos] == '\r' || text[pos] == '\n')) ++pos;
    return pos;
  }
  const size_t run = skip(text, 0, Kind::kSpace);
  const size_t last_newline = text.substr(0, run).find_last_of("\r\n");
  return last_newline != std::string_view::npos ? last_newline + 1 : scan_space(text);
}

}  // namespace turgo
