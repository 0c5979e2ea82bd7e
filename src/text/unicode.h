// Character classes and normal forms. Classes come from unicode_ranges.inc (Unicode 16, as in Hugging Face's
// regular expressions), normal forms from utf8proc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace turgo {

enum class CharClass : uint8_t {
  kOther,        // controls, separators, unassigned
  kUpper,        // Lu
  kLower,        // Ll
  kTitle,        // Lt
  kModifier,     // Lm
  kOtherLetter,  // Lo
  kMark,         // M
  kNumber,       // N
  kPunctuation,  // P
  kSymbol,       // S
  kLaterNumber,  // N since Unicode 17: a number for Rust's is_numeric, unassigned for Oniguruma's patterns
};

CharClass char_class(uint32_t code);

inline bool is_letter(CharClass c) {
  return c >= CharClass::kUpper && c <= CharClass::kOtherLetter;
}

// White_Space (regular expression \s).
inline bool is_white_space(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 9 && code <= 13);
  return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200a) ||
         code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
}

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// `text` must be valid UTF-8. Linear, also for long runs of combining marks.
std::string normalize_unicode(std::string_view text, NormalForm form);

// Regular expression \w of Rust: alphabetic, marks, decimal digits, connectors, joiners.
bool is_word_character(uint32_t code);

// The members of \p{property} (L, Lu, M, N …) that Unicode 14 does not know, as PCRE ranges: \x{a}-\x{b}…
std::string later_members(std::string_view property);

// Simple lower-case mapping, character by character.
std::string lowercase(std::string_view text);

}  // namespace turgo
