// Two kinds of error (docs/architecture.md, "Errors").
//   Error  the caller's fault: a file, a flag, a request. Thrown at borders; says what was expected, what
//   came and what
//          to do, in one line. It becomes an exit code, an HTTP status or a Python exception in exactly three
//          places.
//   CHECK  our fault: a broken invariant. Prints both values and aborts. Never reachable from input.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace turgo {

enum class ErrorCode {
  kInvalidArgument,    // a flag, parameter or request field is out of its range
  kNotFound,           // a file, model or id does not exist
  kCorrupt,            // a file's content breaks its format
  kUnsupported,        // well-formed, but nothing here can handle it
  kTooLong,            // more tokens than the context holds
  kResourceExhausted,  // memory, disk, queue
  kIo,                 // the operating system said no
  kCancelled,
};

class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const { return code_; }

 private:
  ErrorCode code_;
};

// fail(ErrorCode::kCorrupt, "{}: expected magic 'GGUF', got '{}'; is the download complete?", path, magic)
template <class... Args>
[[noreturn]] void fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(code, fmt::format(format, std::forward<Args>(args)...));
}

// Cuts hostile or long text for an error message: printable ASCII and valid UTF-8 pass, control bytes become
// '?'.
std::string quote(std::string_view text, size_t max_bytes = 60);

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& detail);

}  // namespace turgo

#define CHECK(condition, ...)                                                               \
  do {                                                                                      \
    if (!(condition)) [[unlikely]]                                                          \
      ::turgo::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (0)

#define CHECK_EQ(a, b)                                                      \
  do {                                                                      \
    const auto& check_a_ = (a);                                             \
    const auto& check_b_ = (b);                                             \
    if (!(check_a_ == check_b_)) [[unlikely]]                               \
      ::turgo::check_failed(__FILE__, __LINE__, #a " == " #b,               \
                            ::fmt::format("{} vs {}", check_a_, check_b_)); \
  } while (0)
