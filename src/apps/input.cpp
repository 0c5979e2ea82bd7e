#include "apps/input.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace turgo {

std::string read_stdin() {
  constexpr size_t kMaxBytes = size_t{256} << 20;
  std::string text;
  char chunk[65536];
  for (;;) {
    ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(ErrorCode::kIo, "can not read stdin: {}", std::strerror(errno));
    text.append(chunk, static_cast<size_t>(n));
    if (text.size() > kMaxBytes)
      fail(ErrorCode::kInvalidArgument, "stdin: expected at most {} MiB of text", kMaxBytes >> 20);
  }
}

std::string read_text_argument(const std::string& argument) {
  return argument == "-" ? read_stdin() : argument;
}

}  // namespace turgo
