#include "apps/output.h"

#include <poll.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace turgo {

void write_stdout(std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n >= 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {  // somebody shares our terminal and made it non-blocking
      pollfd wait{STDOUT_FILENO, POLLOUT, 0};
      ::poll(&wait, 1, 100);
    } else if (errno == EPIPE) {
      throw OutputClosed();
    } else if (errno != EINTR) {
      fail(ErrorCode::kIo, "can not write to stdout: {}", std::strerror(errno));
    }
  }
}

void warn_of_open_server(std::string_view address, std::string_view what) {
  fmt::print(stderr,
             "\x1b[31mwarning: everybody who reaches {} can use {}; --api-keys KEY closes it\x1b[0m\n",
             address, what);
}

}  // namespace turgo
