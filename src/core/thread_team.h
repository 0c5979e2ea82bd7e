// A persistent team of compute threads. The calling thread is member 0; run(f) calls f(rank) on every member
// and returns when all are done. Between runs workers spin for a short while, then sleep on a futex, so that
// an idle process uses no CPU. A team belongs to one engine and is driven by one thread at a time.
//
// run_active() may leave out members whose core another process uses: a member that waits for the CPU holds
// up everybody at the next barrier, so that two threads on two cores with one busy neighbour are slower than
// one. Every member watches how long it stood in the run queue (run_delay.h). A delayed worker is benched for
// 20 ms, twice as long each time that it comes back too early, at most 500 ms. A delay of member 0 benches a
// worker: its core becomes free for member 0. Threads are not pinned for the same reason: the kernel moves a
// member away from a core that got busy. A worker that finds itself on the CPU of an earlier member leaves it
// (cpu_place.h): what it waited there was the team's own doing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace turgo {

class RunDelay;

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
    join_all();
    run_erased([](void* ctx, int rank) { (*static_cast<Fn*>(ctx))(rank); },
               const_cast<void*>(static_cast<const void*>(&f)));
  }

  // The same with rank in [0, active()), 1 <= active() <= size(): f must split its work by active(), and the
  // result must not depend on how it is split.
  template <class F>
  void run_active(F&& f) {
    run_active([](int) {}, std::forward<F>(f));
  }

  // The same behind prepare(active()), which runs on the calling thread before any f.
  template <class Prepare, class F>
  void run_active(Prepare&& prepare, F&& f) {
    using Fn = std::remove_reference_t<F>;
    choose_members();
    prepare(active_);
    run_erased([](void* ctx, int rank) { (*static_cast<Fn*>(ctx))(rank); },
               const_cast<void*>(static_cast<const void*>(&f)));
  }

  // Inside a run: the number of its members.
  int active() const { return active_; }

  // Inside a run: its members wait for each other. Every member must call it equally often.
  void barrier();

 private:
  using Job = void (*)(void*, int);
  using Clock = std::chrono::steady_clock;
  struct alignas(64) Worker {
    std::atomic<uint64_t> first_epoch{0};  // takes part from this epoch on; kBenched: sleeps
    std::atomic<int> rank{0};              // in the current run
    std::atomic<bool> delayed{false};      // waited for a core lately
    std::atomic<int> cpu{-1};              // where it ran last; -1: asleep for long
    // Member 0's notes.
    bool benched = false;
    Clock::time_point back_at{};
    Clock::duration bench_time{};
  };

  void run_erased(Job job, void* ctx);
  void work(int index);
  bool is_on(int cpu, int num_workers) const;
  bool leave_shared_cpu(int index);
  void choose_members();
  void join_all();
  void bench(Worker& worker, Clock::time_point now);
  void admit(Worker& worker);
  void assign_ranks();

  int size_;
  Clock::duration yield_time_;  // of a wait before it sleeps
  int active_;
  std::unique_ptr<Worker[]> workers_;  // [size - 1]
  std::vector<std::thread> threads_;
  std::unique_ptr<RunDelay> driver_delay_;
  Job job_ = nullptr;
  void* ctx_ = nullptr;
  std::atomic<bool> stop_{false};
  std::atomic<int> driver_cpu_{-1};              // of member 0
  std::atomic<bool> left_driver_{false};         // a worker left its CPU since it last looked
  alignas(64) std::atomic<uint64_t> epoch_{0};   // bumped by member 0 to start a run
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
