// A persistent team of compute threads. The calling thread is member 0; run(f) calls f(rank) on every member
// and returns when all are done. Between runs workers spin for a short while, then sleep on a futex, so that
// an idle process uses no CPU. A team belongs to one engine and is driven by one thread at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace turgo {

class ThreadTeam {
 public:
  // num_threads <= 0 picks the number of usable physical cores (affinity mask and cgroup quota respected).
  explicit ThreadTeam(int num_threads = 0);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return size_; }

  // f(int rank), rank in [0, size). f must not throw. Writes made by any member are visible to all after
  // run().
  template <class F>
  void run(F&& f) {
    using Fn = std::remove_reference_t<F>;
    run_erased([](void* ctx, int rank) { (*static_cast<Fn*>(ctx))(rank); },
               const_cast<void*>(static_cast<const void*>(&f)));
  }

  // Inside run(): all members wait for each other. Every member must call it equally often.
  void barrier();

 private:
  using Job = void (*)(void*, int);
  void run_erased(Job job, void* ctx);
  void worker(int rank);

  int size_;
  std::vector<std::thread> threads_;
  Job job_ = nullptr;
  void* ctx_ = nullptr;
  bool stop_ = false;
  alignas(64) std::atomic<uint32_t> epoch_{0};   // bumped by member 0 to start a run
  alignas(64) std::atomic<int> num_running_{0};  // workers that have not finished the current run
  alignas(64) std::atomic<int> num_arrived_{0};  // members waiting in barrier()
  alignas(64) std::atomic<uint32_t> barrier_epoch_{0};
};

// Cores that this process may use at once: affinity mask, one per physical core, capped by the cgroup's CPU
// quota.
int usable_cores();

// Static partition of [0, n) into `parts` runs whose bounds are multiples of `grain`: the rank-th run.
struct Range {
  int64_t begin, end;
};
constexpr Range split_range(int64_t n, int64_t parts, int64_t rank, int64_t grain = 1) {
  int64_t units = (n + grain - 1) / grain;
  int64_t b = units * rank / parts * grain, e = units * (rank + 1) / parts * grain;
  return {b < n ? b : n, e < n ? e : n};
}

}  // namespace turgo
