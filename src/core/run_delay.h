// How long a thread waited for a core while it was ready to run: the sign that another process uses the core.
// Linux counts it per thread (second field of /proc/thread-self/schedstat, nanoseconds); where that is
// missing, no delay is ever seen.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

namespace turgo {

class RunDelay {
 public:
  RunDelay() = default;
  ~RunDelay();
  RunDelay(const RunDelay&) = delete;
  RunDelay& operator=(const RunDelay&) = delete;

  // True if the calling thread was kept waiting for more than 5 ms since the last look. Looks every 20 ms at
  // most (a read costs about a microsecond). A change of thread starts afresh.
  bool check(std::chrono::steady_clock::time_point now);
  // Forgets what the calling thread waited until now.
  void restart(std::chrono::steady_clock::time_point now);

 private:
  bool read(int64_t& delay_ns) const;

  int fd_ = -1;
  std::thread::id thread_;
  std::chrono::steady_clock::time_point last_{};
  int64_t delay_ns_ = 0;
};

}  // namespace turgo
