#include "core/run_delay.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

namespace turgo {
namespace {

// A competitor that computes takes half of the core, in slices of about 3 ms. Threads that answer requests
// wake often and take little; now and then the kernel puts them, or the team's own members, on one core for a
// slice.
constexpr auto kInterval = std::chrono::milliseconds(20);

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

void RunDelay::restart(std::chrono::steady_clock::time_point now) {
  if (thread_ != std::this_thread::get_id()) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
    thread_ = std::this_thread::get_id();
  }
  last_ = now;
  if (!read(delay_ns_)) delay_ns_ = 0;
}

bool RunDelay::check(std::chrono::steady_clock::time_point now) {
  if (thread_ != std::this_thread::get_id()) {
    restart(now);
    return false;
  }
  auto elapsed = now - last_;
  int64_t delay = 0;
  if (elapsed < kInterval || !read(delay)) return false;
  int64_t since = delay - delay_ns_;
  last_ = now;
  delay_ns_ = delay;
  return since > std::chrono::nanoseconds(kInterval).count() / 4;
}

}  // namespace turgo
