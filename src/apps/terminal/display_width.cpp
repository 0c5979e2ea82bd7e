#include "apps/terminal/display_width.h"

#include <utf8proc.h>

#include <algorithm>

namespace turgo {
namespace {

// Reads one character; broken bytes count as characters of their own.
size_t read_character(std::string_view text, utf8proc_int32_t& codepoint) {
  auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                            static_cast<utf8proc_ssize_t>(text.size()), &codepoint);
  if (n > 0) return static_cast<size_t>(n);
  codepoint = 0xfffd;
  return 1;
}

}  // namespace

size_t utf8_length(std::string_view text) {
  utf8proc_int32_t codepoint;
  auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                            static_cast<utf8proc_ssize_t>(text.size()), &codepoint);
  return n > 0 ? static_cast<size_t>(n) : 0;
}

size_t next_grapheme(std::string_view text, size_t begin) {
  if (begin >= text.size()) return text.size();
  utf8proc_int32_t before, after, state = 0;
  size_t end = begin + read_character(text.substr(begin), before);
  while (end < text.size()) {
    size_t length = read_character(text.substr(end), after);
    if (utf8proc_grapheme_break_stateful(before, after, &state)) break;
    before = after;
    end += length;
  }
  return end;
}

size_t previous_grapheme(std::string_view text, size_t end) {
  size_t begin = 0;
  for (size_t next = 0; next < end; next = next_grapheme(text, next)) begin = next;
  return begin;
}

int grapheme_width(std::string_view cluster) {
  int width = 0;
  for (size_t i = 0; i < cluster.size();) {
    utf8proc_int32_t codepoint;
    i += read_character(cluster.substr(i), codepoint);
    width = std::max(width, utf8proc_charwidth(codepoint));
  }
  return width;
}

}  // namespace turgo
