// Several threads wake the one that waits; a ring before the wait is not lost, and several count as one.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace turgo {

class Bell {
 public:
  void ring() {
    std::lock_guard lock(mutex_);  // held while notifying: the waiting thread may end the bell's life at once
    rung_ = true;
    changed_.notify_one();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return rung_; });
    rung_ = false;
  }
  // Returns after this time at the latest.
  void wait_for(std::chrono::duration<double> time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool rung_ = false;
};

}  // namespace turgo
