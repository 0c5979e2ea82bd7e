// A few threads and a queue of small jobs, in order of arrival.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace turgo {

class WorkerThreads {
 public:
  explicit WorkerThreads(int num_threads) {
    for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { loop(); });
  }
  ~WorkerThreads() { stop(); }

  void post(std::function<void()> job) {
    {
      std::lock_guard lock(mutex_);
      if (stops_) return;
      jobs_.push_back(std::move(job));
    }
    changed_.notify_one();
  }

  // What still waits is dropped.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stops_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
    jobs_.clear();
  }

 private:
  void loop() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stops_ || !jobs_.empty(); });
      if (stops_) return;
      std::function<void()> job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  bool stops_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace turgo
