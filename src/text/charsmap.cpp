#include "text/charsmap.h"

#include "core/error.h"
#include "text/utf8.h"

namespace turgo {
namespace {

uint32_t little_endian32(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  return value;
}

// A darts-clone unit: bit 31 marks a leaf (value in the low 31 bits); bits 0–7 the label that led here; bit 8
// "has a leaf child"; bits 10–30 the offset to the children, times 256 if bit 9 is set.
uint32_t offset_of(uint32_t unit) {
  return (unit >> 10) << ((unit & (1u << 9)) >> 6);
}
uint32_t label_of(uint32_t unit) {
  return unit & 0x800000ffu;
}

}  // namespace

Charsmap::Charsmap(std::string_view blob, const std::string& what) {
  if (blob.empty()) return;
  const uint32_t trie_bytes = blob.size() < 4 ? 0 : little_endian32(blob);
  if (blob.size() < 4 || trie_bytes % 4 != 0 || trie_bytes < 4 || trie_bytes > blob.size() - 4)
    fail(ErrorCode::kCorrupt,
         "{}: expected a precompiled character map, got {} bytes that claim a trie of {} bytes", what,
         blob.size(), trie_bytes);
  for (size_t i = 0; i < trie_bytes; i += 4) units_.push_back(little_endian32(blob.substr(4 + i)));
  strings_ = blob.substr(4 + trie_bytes);
  // Replacements are NUL-terminated; repaired once here so that normalised text is always valid UTF-8 …
  if (!is_valid_utf8(strings_))
    fail(ErrorCode::kCorrupt, "{}: the replacements of the precompiled character map are not UTF-8", what);
  strings_ += '\0';
}

Charsmap::Rule Charsmap::longest(std::string_view text) const {
  Rule rule;
  if (units_.empty()) return rule;
  size_t node = offset_of(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    const uint32_t unit = units_[node];
    node ^= offset_of(unit);
    if ((unit >> 8 & 1) == 0) continue;
    if (node >= units_.size()) break;
    const uint32_t value = units_[node] & 0x7fffffffu;
    if (value >= strings_.size()) break;
    // … and a value that points into the middle of a character is refused as well.
    if ((static_cast<uint8_t>(strings_[value]) & 0xc0) == 0x80) break;
    rule = {i + 1, std::string_view(strings_.c_str() + value)};
  }
  return rule;
}

}  // namespace turgo
