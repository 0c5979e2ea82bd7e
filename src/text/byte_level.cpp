#include "text/byte_level.h"

#include "text/utf8.h"

namespace turgo {
namespace {

constexpr bool is_printable(uint32_t b) {
  return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xff && b != 0xad);
}

}  // namespace

uint32_t byte_to_char(uint8_t byte) {
  if (is_printable(byte)) return byte;
  if (byte < 0x21) return 0x100u + byte;            // 0x00…0x20 -> U+0100…U+0120
  if (byte < 0xa1) return 0x121u + (byte - 0x7fu);  // 0x7F…0xA0 -> U+0121…U+0142
  return 0x143;                                     // 0xAD
}

int char_to_byte(uint32_t code) {
  if (code < 0x100) return is_printable(code) ? static_cast<int>(code) : -1;
  if (code <= 0x120) return static_cast<int>(code - 0x100);
  if (code <= 0x142) return static_cast<int>(code - 0x121 + 0x7f);
  return code == 0x143 ? 0xad : -1;
}

bool bytes_of_piece(std::string_view piece, std::string& bytes) {
  bytes.clear();
  while (!piece.empty()) {
    const Utf8Char c = decode_utf8(piece);
    const int byte = c.valid ? char_to_byte(c.code) : -1;
    if (byte < 0) return false;
    bytes += static_cast<char>(byte);
    piece.remove_prefix(c.size);
  }
  return true;
}

}  // namespace turgo
