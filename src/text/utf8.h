// UTF-8 by the book (Unicode 16, table 3-7): decode one character, append one, repair a text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turgo {

inline constexpr uint32_t kReplacementChar = 0xfffd;

struct Utf8Char {
  uint32_t code;  // kReplacementChar if the bytes are ill-formed
  uint8_t size;   // bytes consumed, >= 1; for ill-formed bytes the maximal subpart (what Python and Rust
                  // replace at once)
  bool valid;
};

// text must not be empty.
inline Utf8Char decode_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const uint32_t lead = p[0];
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xc2 || lead > 0xf4) return {kReplacementChar, 1, false};
  const uint8_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  uint32_t low = 0x80,
           high = 0xbf;  // the second byte alone tells overlong forms, surrogates and > U+10FFFF apart
  if (lead == 0xe0) low = 0xa0;
  if (lead == 0xed) high = 0x9f;
  if (lead == 0xf0) low = 0x90;
  if (lead == 0xf4) high = 0x8f;
  uint32_t code = lead & (0x7fu >> size);
  for (uint8_t i = 1; i < size; ++i) {
    if (i >= text.size() || p[i] < low || p[i] > high) return {kReplacementChar, i, false};
    code = code << 6 | (p[i] & 0x3f);
    low = 0x80;
    high = 0xbf;
  }
  return {code, size, true};
}

// code <= 0x10FFFF and no surrogate.
inline void append_utf8(std::string& out, uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

bool is_valid_utf8(std::string_view text);

// Every ill-formed sequence becomes one U+FFFD: per maximal subpart (Python's and Rust's rule) or, if
// per_byte, one for each byte (SentencePiece's rule).
std::string repair_utf8(std::string_view text, bool per_byte = false);

// Bytes at the end of `text` that are the beginning of a character whose rest may still come (0…3).
size_t incomplete_utf8_tail(std::string_view text);

}  // namespace turgo
