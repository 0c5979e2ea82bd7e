// GPT-2's spelling of bytes as printable characters: 0x21…0x7E, 0xA1…0xAC and 0xAE…0xFF stand for themselves
// (as Latin-1), the other 68 bytes, in order, for U+0100…U+0143 (a space is Ġ, a newline Ċ).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turgo {

uint32_t byte_to_char(uint8_t byte);
int char_to_byte(uint32_t code);  // -1 if the character stands for no byte

// The bytes that a piece spells. False if it holds a character that stands for no byte (then `bytes` is
// unspecified).
bool bytes_of_piece(std::string_view piece, std::string& bytes);

}  // namespace turgo
