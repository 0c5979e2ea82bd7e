// Things that one thread hands to another in batches, so that a slow disk or collector delays no answer. What
// does not fit is dropped and counted.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace turgo {

template <class T>
class BackgroundBatch {
 public:
  // `consume` runs on a thread of its own, at most `interval` after the first item of a batch came.
  BackgroundBatch(size_t capacity, std::chrono::milliseconds interval,
                  std::function<void(std::vector<T>)> consume)
      : capacity_(capacity), interval_(interval), consume_(std::move(consume)), thread_([this] { run(); }) {}

  // Consumes what is left.
  ~BackgroundBatch() {
    {
      std::lock_guard lock(mutex_);
      stops_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

  void push(T item) {
    {
      std::lock_guard lock(mutex_);
      if (items_.size() >= capacity_) {
        ++num_dropped_;
        return;
      }
      items_.push_back(std::move(item));
      if (items_.size() != 1 && items_.size() != capacity_ / 2) return;
    }
    changed_.notify_one();
  }

  void count_dropped(size_t n) {
    std::lock_guard lock(mutex_);
    num_dropped_ += static_cast<int64_t>(n);
  }
  int64_t num_dropped() const {
    std::lock_guard lock(mutex_);
    return num_dropped_;
  }
  bool stops() const {
    std::lock_guard lock(mutex_);
    return stops_;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!stops_ || !items_.empty()) {
      changed_.wait(lock, [this] { return stops_ || !items_.empty(); });
      changed_.wait_for(lock, interval_, [this] { return stops_ || items_.size() >= capacity_ / 2; });
      std::vector<T> batch = std::exchange(items_, {});
      lock.unlock();
      if (!batch.empty()) consume_(std::move(batch));
      lock.lock();
    }
  }

  size_t capacity_;
  std::chrono::milliseconds interval_;
  std::function<void(std::vector<T>)> consume_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<T> items_;
  int64_t num_dropped_ = 0;
  bool stops_ = false;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace turgo
