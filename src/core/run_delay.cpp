#include "core/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace turgo {
namespace {

constexpr auto kInterval = std::chrono::milliseconds(2);
// The scheduler's time slice is about 3 ms: a real competitor shows at once. Threads that answer requests
// take some 50 us at a time and do not.
constexpr int64_t kDelayNs = 1'000'000;

}  // namespace

RunDelay::~RunDelay() {
  if (fd_ >= 0) ::close(fd_);
}

bool RunDelay::read(int64_t& delay_ns) const {
  char text[96];
  ssize_t n = fd_ < 0 ? -1 : ::pread(fd_, text, sizeof(text), 0);
  if (n <= 0) return false;
  const char* end = text + n;
  const char* space = std::find(static_cast<const char*>(text), end, ' ');
  return space != end && std::from_chars(space + 1, end, delay_ns).ec == std::errc();
}

bool RunDelay::check(std::chrono::steady_clock::time_point now) {
  if (thread_ != std::this_thread::get_id()) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    thread_ = std::this_thread::get_id();
    last_ = now;
    if (!read(delay_ns_)) delay_ns_ = 0;
    return false;
  }
  auto elapsed = now - last_;
  int64_t delay = 0;
  if (elapsed < kInterval || !read(delay)) return false;
  int64_t since = delay - delay_ns_;
  last_ = now;
  delay_ns_ = delay;
  // Over a long interval many short waits add up: allow for 5 % of 20 ms.
  int64_t interval = std::min<int64_t>(std::chrono::nanoseconds(elapsed).count(), 20'000'000);
  return since > kDelayNs + interval / 20;
}

}  // namespace turgo
