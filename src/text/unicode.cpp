#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "core/error.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr uint32_t kRanges[] = {
#include "text/unicode_ranges.inc"
};

CharClass search(uint32_t code) {
  const auto* run = std::upper_bound(std::begin(kRanges), std::end(kRanges), code << 4 | 0xf);
  return static_cast<CharClass>(*(run - 1) & 0xf);
}

constexpr std::array<CharClass, 128> make_ascii() {
  std::array<CharClass, 128> table{};
  size_t run = 0;
  for (uint32_t code = 0; code < 128; ++code) {
    while (kRanges[run + 1] >> 4 <= code) ++run;
    table[code] = static_cast<CharClass>(kRanges[run] & 0xf);
  }
  return table;
}
constexpr std::array<CharClass, 128> kAscii = make_ascii();

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
}

}  // namespace

CharClass char_class(uint32_t code) {
  return code < 128 ? kAscii[code] : search(code);
}

std::string normalize_unicode(std::string_view text, NormalForm form) {
  if (is_ascii(text)) return std::string(text);
  // Decompose, order runs of marks (a stable sort, so that 10^6 marks do not cost 10^12 steps), compose.
  const bool compat = form == NormalForm::kNfkc || form == NormalForm::kNfkd;
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  std::vector<utf8proc_int32_t> codes;
  codes.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(i));
    i += c.size;
    utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA's, has 18 characters
    int last_class = 0;
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0));
    const auto n =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code), parts, 32, options, &last_class);
    CHECK(n >= 0 && n <= 32, "decomposition of U+{:04X} has {} characters", c.code, n);
    codes.insert(codes.end(), parts, parts + n);
  }
  const auto combining = [](utf8proc_int32_t code) { return utf8proc_get_property(code)->combining_class; };
  for (size_t i = 0; i < codes.size();) {
    size_t end = i;
    while (end < codes.size() && combining(codes[end]) != 0) ++end;
    if (end - i > 1)
      std::stable_sort(codes.begin() + static_cast<ptrdiff_t>(i), codes.begin() + static_cast<ptrdiff_t>(end),
                       [&](auto a, auto b) { return combining(a) < combining(b); });
    i = std::max(end, i + 1);
  }
  auto n = static_cast<utf8proc_ssize_t>(codes.size());
  if (compose) {
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    n = utf8proc_normalize_utf32(codes.data(), n, options);
    CHECK(n >= 0, "utf8proc_normalize_utf32: {}", n);
  }
  std::string out;
  out.reserve(text.size());
  for (utf8proc_ssize_t i = 0; i < n; ++i)
    append_utf8(out, static_cast<uint32_t>(codes[static_cast<size_t>(i)]));
  return out;
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(i));
    i += c.size;
    append_utf8(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code))));
  }
  return out;
}

}  // namespace turgo
