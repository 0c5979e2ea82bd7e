#include "text/jinja/str.h"

#include <algorithm>

#include "text/jinja/runtime.h"

namespace turgo::jinja {

namespace {

bool is_ascii(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
}

bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

}  // namespace

Str::~Str() {
  if (live_bytes) *live_bytes -= text.capacity() + input.capacity() * sizeof(MarkedText::Range) + sizeof(Str);
}

size_t Str::length() const {
  if (ascii) return text.size();
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !is_continuation(c); }));
}

StrRef constant_str(std::string text) {
  auto s = std::make_shared<Str>();
  s->ascii = is_ascii(text);
  s->text = std::move(text);
  return s;
}

void StrBuilder::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!input_.empty() && input_.back().end == begin) {
    input_.back().end = end;
  } else {
    input_.push_back({begin, end});
  }
}

void StrBuilder::add(std::string_view text, bool input) {
  runtime_->check_string(text_.size(), text.size());
  size_t begin = text_.size();
  text_.append(text);
  if (input) mark(begin, text_.size());
}

void StrBuilder::add(const Str& s, size_t begin, size_t end) {
  if (begin >= end) return;
  runtime_->check_string(text_.size(), end - begin);
  size_t base = text_.size();
  text_.append(s.text, begin, end - begin);
  if (s.input.empty()) return;
  auto it =
      std::partition_point(s.input.begin(), s.input.end(), [&](const auto& r) { return r.end <= begin; });
  for (; it != s.input.end() && it->begin < end; ++it) {
    mark(base + std::max(it->begin, begin) - begin, base + std::min(it->end, end) - begin);
  }
}

void StrBuilder::add_repeated(std::string_view text, int64_t count, bool input) {
  if (count <= 0 || text.empty()) return;
  // The product is formed only after a division has shown that it fits.
  runtime_->check_repeat(text.size(), count);
  runtime_->check_string(text_.size(), text.size() * static_cast<size_t>(count));
  size_t begin = text_.size();
  text_.reserve(begin + text.size() * static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) text_.append(text);
  if (input) mark(begin, text_.size());
}

MarkedText StrBuilder::take() {
  return {std::move(text_), std::move(input_)};
}

StrRef StrBuilder::finish(bool markup) {
  auto s = std::make_shared<Str>();
  s->ascii = is_ascii(text_);
  s->text = std::move(text_);
  s->input = std::move(input_);
  s->markup = markup;
  runtime_->adopt(*s);
  return s;
}

size_t Utf8::size_at(std::string_view text, size_t at) {
  auto c = static_cast<unsigned char>(text[at]);
  size_t size = c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
  return std::min(size, text.size() - at);
}

size_t Utf8::start_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return at;
}

char32_t Utf8::decode(std::string_view text, size_t at) {
  size_t size = size_at(text, at);
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if (size == 1) return byte(0);
  char32_t c = byte(0) & (0xFF >> (size + 1));
  for (size_t i = 1; i < size; ++i) c = c << 6 | (byte(i) & 0x3F);
  return c;
}

void Utf8::append(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
    return;
  }
  int extra = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static constexpr unsigned char kLead[] = {0, 0xC0, 0xE0, 0xF0};
  out += static_cast<char>(kLead[extra] | (c >> (6 * extra)));
  for (int i = extra - 1; i >= 0; --i) out += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3F));
}

bool Utf8::is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool Utf8::valid(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c < 0x80) {
      ++i;
      continue;
    }
    size_t size = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || i + size > text.size()) return false;
    for (size_t k = 1; k < size; ++k) {
      if (!is_continuation(text[i + k])) return false;
    }
    char32_t value = decode(text, i);
    if ((size == 3 && value < 0x800) || (size == 4 && (value < 0x10000 || value > 0x10FFFF))) return false;
    if (value >= 0xD800 && value <= 0xDFFF) return false;
    i += size;
  }
  return true;
}

size_t byte_offset(const Str& s, size_t index) {
  if (s.ascii) return std::min(index, s.text.size());
  size_t at = 0;
  while (index > 0 && at < s.text.size()) {
    at += Utf8::size_at(s.text, at);
    --index;
  }
  return at;
}

}  // namespace turgo::jinja
