#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <ctime>

#include "core/error.h"
#include "text/unicode.h"

namespace turgo {
namespace {

// PCRE counts the steps of a match per start, and hardly in compiled (JIT) code; a step may scan the whole
// text: a*a*a*[bc] takes minutes on 2,000 bytes within limits that published patterns need. So compiled code
// sees a window of the text and has a small limit; where a match wants to look past the window, or exceeds
// the limit, the interpreter takes over with the whole text and a form of the pattern that calls back before
// each of its items, to look at the clock. Words of published patterns are shorter than the window, so that
// they run compiled.
constexpr size_t kWindowBytes = 4096;
constexpr uint32_t kCompiledLimit = 5'000;
constexpr uint32_t kInterpretedLimit = 10'000'000, kInterpretedLimitPerByte = 4;
// Of patterns too large for callbacks (PCRE's code ends at 64 KiB): steps times bytes that a step may scan.
constexpr uint32_t kUnwatchedWork = 100'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackBytes = size_t{1} << 20;
// One call tries so many bytes as the start of a match, one where the pattern is so long that a step may be
// too. The clock is looked at after calls that tried more than a few, every so many of the others, after
// every start of the interpreter and every so many of its items.
constexpr size_t kStartsPerCall = 32, kFewStarts = 8, kLongPattern = 1000;
constexpr uint32_t kCallsPerClock = 16, kItemsPerClock = 256;
constexpr double kMaxSeconds = 1, kMaxSecondsPerByte = 1e-6;  // published patterns: 1e-8 per byte

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

constexpr const char* kSpaceSet =
    R"(\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";

constexpr const char* kWordSet = R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc})";

// Length of "p{L}", "p{Lu}" … at `pos`, 0 if there is none of the classes that unicode.h knows.
size_t property_at(const std::string& pattern, size_t pos) {
  if (pattern[pos] != 'p' || pos + 1 >= pattern.size() || pattern[pos + 1] != '{') return 0;
  const size_t end = pattern.find('}', pos);
  if (end == std::string::npos) return 0;
  const std::string_view name = std::string_view(pattern).substr(pos + 2, end - pos - 2);
  for (const std::string_view known : {"L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "N", "P", "S"})
    if (name == known) return end + 1 - pos;
  return 0;
}

// From Oniguruma's meaning (the programs that publish the patterns use it) to PCRE's: \s, \S and \w become
// explicit sets (a \S or \W inside a class stays PCRE's, which differs by a few rare characters). Classes
// inside classes, which PCRE would read as something else, are refused.
std::string adapt(const std::string& pattern, const std::string& what) {
  std::string out;
  bool in_class = false;
  const auto set = [&](const char* members, bool negated) {
    return in_class ? std::string(members) : (negated ? "[^" : "[") + std::string(members) + "]";
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's' || (next == 'S' && !in_class))
        out += set(kSpaceSet, next == 'S');
      else if (next == 'w' || (next == 'W' && !in_class))
        out += set(kWordSet, next == 'W');
      else if (const size_t size = property_at(pattern, i); size != 0) {
        const std::string property = pattern.substr(i - 1, size + 1);
        out += set((property + later_members(pattern.substr(i + 2, size - 3))).c_str(), false);
        i += size - 1;
      } else if (next == 'X') {  // looks back over runs: quadratic within one step
        fail(ErrorCode::kUnsupported,
             "{}: expected a pattern without \\X, got {}; use another tokenizer file", what, quote(pattern));
      } else
        out.append({'\\', next});
      continue;
    }
    if (c == '[' && !in_class) {
      in_class = true;
      out += c;
      if (i + 1 < pattern.size() && pattern[i + 1] == '^') out += pattern[++i];
      if (i + 1 < pattern.size() && pattern[i + 1] == ']') out += pattern[++i];
      continue;
    }
    if (in_class && ((c == '[' && pattern.compare(i, 2, "[:") != 0) || pattern.compare(i, 2, "&&") == 0))
      fail(ErrorCode::kUnsupported, "{}: expected a pattern without classes inside classes, got {}", what,
           quote(pattern));
    if (in_class && c == '[') {  // a POSIX class, [:alpha:]
      const size_t end = pattern.find(":]", i);
      if (end != std::string::npos) {
        out.append(pattern, i, end + 2 - i);
        i = end + 1;
        continue;
      }
    }
    if (c == ']' && in_class) in_class = false;
    out += c;
  }
  return out;
}

}  // namespace

struct Regex::Impl {
  pcre2_code* code = nullptr;
  pcre2_code* watched = nullptr;  // with callouts, for the interpreter; null where that is too large
  std::string what;
  bool jit = false;
  size_t starts_per_call = kStartsPerCall;
  ~Impl() {
    pcre2_code_free(code);
    pcre2_code_free(watched);
  }
};

struct Regex::Scratch::Impl {
  pcre2_match_data* data = nullptr;
  pcre2_match_context *compiled = nullptr, *interpreted = nullptr;
  pcre2_jit_stack* stack = nullptr;
  uint32_t num_calls = 0, num_items = 0;
  double deadline = 0;
  bool late() const { return thread_seconds() > deadline; }
  ~Impl() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(compiled);
    pcre2_match_context_free(interpreted);
    pcre2_jit_stack_free(stack);
  }
};

Regex::Regex(const std::string& pattern, const std::string& what) : impl_(std::make_unique<Impl>()) {
  if (pattern.size() > 65536)
    fail(ErrorCode::kUnsupported, "{}: expected a pattern of at most 65536 bytes, got {}", what,
         pattern.size());
  const std::string adapted = adapt(pattern, what);
  int error = 0;
  PCRE2_SIZE offset = 0;
  impl_->what = what;
  if (pattern.size() > kLongPattern) impl_->starts_per_call = 1;
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  pcre2_set_parens_nest_limit(context, 100);
  const auto compile = [&](uint32_t flags) {
    return pcre2_compile(
        reinterpret_cast<PCRE2_SPTR>(adapted.data()), adapted.size(),
        PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT | flags,
        &error, &offset, context);
  };
  impl_->code = compile(0);
  if (impl_->code != nullptr) impl_->watched = compile(PCRE2_AUTO_CALLOUT);
  pcre2_compile_context_free(context);
  if (impl_->code == nullptr) {
    PCRE2_UCHAR message[160];
    pcre2_get_error_message(error, message, sizeof message);
    fail(ErrorCode::kUnsupported,
         "{}: pattern {} does not compile: {}; expected a regular expression of PCRE's syntax", what,
         quote(pattern), reinterpret_cast<const char*>(message));
  }
  impl_->jit = pcre2_jit_compile(impl_->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD) == 0;
}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

RegexDeadline::RegexDeadline(size_t text_bytes)
    : thread_seconds(turgo::thread_seconds() + kMaxSeconds +
                     kMaxSecondsPerByte * static_cast<double>(text_bytes)) {}

Regex::Scratch::Scratch(const Regex& regex, size_t text_bytes, const RegexDeadline& deadline)
    : impl_(std::make_unique<Impl>()) {
  impl_->data = pcre2_match_data_create_from_pattern(regex.impl_->code, nullptr);
  impl_->compiled = pcre2_match_context_create(nullptr);
  impl_->interpreted = pcre2_match_context_create(nullptr);
  pcre2_set_match_limit(impl_->compiled, kCompiledLimit);
  const auto bytes = static_cast<uint32_t>(std::min<size_t>(text_bytes, 1u << 29));
  pcre2_set_match_limit(impl_->interpreted, regex.impl_->watched == nullptr
                                                ? kUnwatchedWork / (bytes + 1)
                                                : kInterpretedLimit + kInterpretedLimitPerByte * bytes);
  pcre2_set_heap_limit(impl_->interpreted, kHeapLimitKib);
  pcre2_set_callout(
      impl_->interpreted,
      [](pcre2_callout_block*, void* scratch) {
        auto& s = *static_cast<Impl*>(scratch);
        return ++s.num_items % kItemsPerClock == 0 && s.late() ? PCRE2_ERROR_CALLOUT : 0;
      },
      impl_.get());
  if (regex.impl_->jit) {
    impl_->stack = pcre2_jit_stack_create(32 * 1024, kJitStackBytes, nullptr);
    pcre2_jit_stack_assign(impl_->compiled, nullptr, impl_->stack);
  }
  impl_->deadline = deadline.thread_seconds;
}

Regex::Scratch::~Scratch() = default;

bool Regex::find(std::string_view text, size_t from, Scratch& scratch, size_t& begin, size_t& end) const {
  Scratch::Impl& s = *scratch.impl_;
  const auto next_start = [&](size_t start) {
    while (++start < text.size() && (static_cast<uint8_t>(text[start]) & 0xc0) == 0x80) {
    }
    return start;
  };
  while (from <= text.size()) {
    const size_t last_start = std::min(text.size(), from + impl_->starts_per_call - 1);
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int rc = PCRE2_ERROR_PARTIAL;
    if (impl_->jit) {
      size_t window = std::min(text.size(), last_start + kWindowBytes);
      while (window < text.size() && (static_cast<uint8_t>(text[window]) & 0xc0) == 0x80) ++window;
      const uint32_t partial = window < text.size() ? PCRE2_PARTIAL_HARD : 0;
      pcre2_set_offset_limit(s.compiled, last_start);
      rc = pcre2_match(impl_->code, subject, window, from, PCRE2_NO_UTF_CHECK | partial, s.data, s.compiled);
    }
    bool late = false;
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH) {
      for (size_t start = from; start <= last_start && !late; start = next_start(start)) {
        pcre2_set_offset_limit(s.interpreted, start);
        rc = pcre2_match(impl_->watched ? impl_->watched : impl_->code, subject, text.size(), start,
                         PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s.data, s.interpreted);
        late = s.late();
        if (rc != PCRE2_ERROR_NOMATCH) break;
      }
    } else {
      const size_t num_starts = (rc >= 0 ? pcre2_get_startchar(s.data) : last_start) - from;
      late =
          (num_starts > kFewStarts || impl_->starts_per_call == 1 || ++s.num_calls % kCallsPerClock == 0) &&
          s.late();
    }
    if (late || (rc < 0 && rc != PCRE2_ERROR_NOMATCH))
      fail(ErrorCode::kUnsupported,
           "{}: expected a pattern that is linear in its text, got one that exceeds its limits on {} bytes "
           "(PCRE {}); "
           "use another tokenizer file or a shorter text",
           impl_->what, text.size(), rc);
    if (rc >= 0) {
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(s.data);
      begin = range[0];
      end = range[1];
      // \K may move the begin past the end or before `from`: no match for us.
      return begin >= from && end >= begin;
    }
    from = next_start(last_start);
  }
  return false;
}

}  // namespace turgo
