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

constexpr uint32_t kInert[] = {
#include "text/unicode_inert.inc"
};

constexpr uint32_t kLater[] = {
#include "text/unicode_later.inc"
};

// `pairs`: first and last of ascending ranges.
template <size_t N>
bool in_ranges(const uint32_t (&pairs)[N], uint32_t code) {
  const auto* end = std::lower_bound(std::begin(pairs), std::end(pairs), code);
  if (end == std::end(pairs)) return false;
  return *end == code || (end - std::begin(pairs)) % 2 == 1;
}

int combining_class(utf8proc_int32_t code) {
  if (code < 0x300) return 0;
  const int value = utf8proc_get_property(code)->combining_class;
  return value != 0 && in_ranges(kInert, static_cast<uint32_t>(code)) ? 0 : value;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
}

// Runs of marks by class, equal classes in the text's order. (std::stable_sort uses what clang calls
// deprecated.)
void order_marks(std::vector<utf8proc_int32_t>& codes) {
  std::vector<std::pair<uint64_t, utf8proc_int32_t>> run;  // class << 32 | place
  for (size_t i = 0; i < codes.size(); ++i) {
    run.clear();
    const size_t begin = i;
    for (int cls; i < codes.size() && (cls = combining_class(codes[i])) != 0; ++i)
      run.emplace_back(static_cast<uint64_t>(cls) << 32 | i, codes[i]);
    if (run.size() < 2) continue;
    std::sort(run.begin(), run.end());
    for (size_t k = 0; k < run.size(); ++k) codes[begin + k] = run[k].second;
  }
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
    if (c.code < 0xa0 || in_ranges(kInert, c.code)) {
      codes.push_back(static_cast<utf8proc_int32_t>(c.code));
      continue;
    }
    utf8proc_int32_t parts[32];  // the longest decomposition, U+FDFA's, has 18 characters
    int last_class = 0;
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compat ? UTF8PROC_COMPAT : 0));
    const auto n =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.code), parts, 32, options, &last_class);
    CHECK(n >= 0 && n <= 32, "decomposition of U+{:04X} has {} characters", c.code, n);
    codes.insert(codes.end(), parts, parts + n);
  }
  order_marks(codes);
  std::string out;
  out.reserve(text.size());
  for (size_t begin = 0;
       begin < codes.size();) {  // inert characters end a stretch: nothing composes across them
    size_t end = begin;
    while (end < codes.size() && !in_ranges(kInert, static_cast<uint32_t>(codes[end]))) ++end;
    auto n = static_cast<utf8proc_ssize_t>(end - begin);
    if (compose && n > 1) {
      const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
      n = utf8proc_normalize_utf32(&codes[begin], n, options);
      CHECK(n >= 0, "utf8proc_normalize_utf32: {}", n);
    }
    for (size_t i = begin; i < begin + static_cast<size_t>(n); ++i)
      append_utf8(out, static_cast<uint32_t>(codes[i]));
    if (end < codes.size()) append_utf8(out, static_cast<uint32_t>(codes[end++]));
    begin = end;
  }
  return out;
}

bool is_word_character(uint32_t code) {
  const CharClass c = char_class(code);
  if (is_letter(c) || c == CharClass::kMark || code == 0x200c || code == 0x200d) return true;
  // Circled and squared letters are symbols, but alphabetic.
  if ((code >= 0x24b6 && code <= 0x24e9) || (code >= 0x1f130 && code <= 0x1f149) ||
      (code >= 0x1f150 && code <= 0x1f169) || (code >= 0x1f170 && code <= 0x1f189))
    return true;
  if (c != CharClass::kNumber && c != CharClass::kPunctuation) return false;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  if (category == UTF8PROC_CATEGORY_CN) return c == CharClass::kNumber;
  return category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_NL ||
         category == UTF8PROC_CATEGORY_PC;
}

std::string later_members(std::string_view property) {
  constexpr std::string_view kNames[] = {"", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S"};
  std::string out;
  for (size_t i = 0; i + 1 < std::size(kRanges); ++i) {
    const size_t cls = kRanges[i] & 0xf;
    const uint32_t first = kRanges[i] >> 4, last = (kRanges[i + 1] >> 4) - 1;
    if (cls == 0 || cls >= std::size(kNames) || !kNames[cls].starts_with(property)) continue;
    for (size_t k = 0; k + 1 < std::size(kLater); k += 2) {
      const uint32_t begin = std::max(first, kLater[k]), end = std::min(last, kLater[k + 1]);
      if (begin <= end) out += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", begin, end);
    }
  }
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
