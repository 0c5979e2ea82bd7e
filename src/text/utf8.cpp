#include "text/utf8.h"

#include <algorithm>
#include <cstring>

namespace turgo {

bool is_valid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t word;
    if (i + 8 <= text.size() && (std::memcpy(&word, text.data() + i, 8), (word & 0x8080808080808080u) == 0)) {
      i += 8;
      continue;
    }
    const Utf8Char c = decode_utf8(text.substr(i));
    if (!c.valid) return false;
    i += c.size;
  }
  return true;
}

std::string repair_utf8(std::string_view text, bool per_byte) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(i));
    if (c.valid) {
      out.append(text.substr(i, c.size));
      i += c.size;
    } else {
      append_utf8(out, kReplacementChar);
      i += per_byte ? 1 : c.size;
    }
  }
  return out;
}

size_t incomplete_utf8_tail(std::string_view text) {
  for (size_t size = 1; size <= std::min<size_t>(3, text.size()); ++size) {
    const std::string_view tail = text.substr(text.size() - size);
    const auto lead = static_cast<unsigned char>(tail[0]);
    if (lead < 0x80) return 0;
    if (lead < 0xc0) continue;  // a continuation byte: its lead is further left
    const size_t full_size = lead < 0xc2 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 1;
    const Utf8Char c = decode_utf8(tail);
    return full_size > size && !c.valid && c.size == size ? size : 0;
  }
  return 0;
}

}  // namespace turgo
