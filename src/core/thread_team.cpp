#include "core/thread_team.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>

#include "core/cpu_place.h"
#include "core/run_delay.h"

namespace turgo {
namespace {

// Measured on two shared virtual cores: below ~1,000 pauses a phase hand-off falls into the futex (17 us
// instead of 0.05 us); far above it a sleeping neighbour is starved.
constexpr int kSpinPauses = 4000;
// Between yields the thread goes on looking: on a virtual machine a core that falls asleep may come back
// late, by milliseconds on a busy host, and then the whole team waits for it.
constexpr int kYieldPauses = 100;
constexpr auto kYieldTime = std::chrono::milliseconds(2), kCrowdedYieldTime = std::chrono::milliseconds(0);

constexpr uint64_t kBenched = UINT64_MAX;
constexpr auto kFirstBench = std::chrono::milliseconds(20), kLongestBench = std::chrono::milliseconds(500),
               kCalm = std::chrono::milliseconds(50);
// With neighbours on every CPU moves help nobody, and what a member waited elsewhere should not be forgotten.
constexpr auto kMoveInterval = std::chrono::milliseconds(5), kForgetInterval = std::chrono::milliseconds(100);

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spin, then yield for some time, then sleep until `word` differs from `old`.
template <class T>
void wait_change(std::atomic<T>& word, T old, std::chrono::steady_clock::duration yield_time) {
  for (int i = 0; i < kSpinPauses; ++i) {
    if (word.load(std::memory_order_acquire) != old) return;
    pause_cpu();
  }
  const auto end = std::chrono::steady_clock::now() + yield_time;
  do {
    std::this_thread::yield();
    for (int i = 0; i < kYieldPauses; ++i) {
      if (word.load(std::memory_order_acquire) != old) return;
      pause_cpu();
    }
  } while (std::chrono::steady_clock::now() < end);
  word.wait(old, std::memory_order_acquire);
}

int cgroup_quota() {
  std::ifstream in("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(in >> quota >> period) || quota == "max" || period <= 0) return 1 << 20;
  try {
    return std::max(1, static_cast<int>(std::stod(quota) / period + 0.999));
  } catch (const std::exception&) {
    return 1 << 20;  // an unreadable quota is no quota
  }
}

}  // namespace

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  std::set<std::string> cores;  // threads of one core share the first sibling's list
  int num_cpus = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    ++num_cpus;
    std::ifstream in("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    std::string siblings;
    cores.insert(std::getline(in, siblings) ? siblings : std::to_string(cpu));
  }
  return std::clamp(std::min({num_cpus, static_cast<int>(cores.size()), cgroup_quota()}), 1, 1024);
}

ThreadTeam::ThreadTeam(int num_threads)
    : size_(num_threads > 0 ? num_threads : usable_cores()),
      yield_time_(size_ <= usable_cores() ? kYieldTime : kCrowdedYieldTime),
      active_(size_),
      workers_(new Worker[static_cast<size_t>(size_ - 1)]),
      driver_delay_(std::make_unique<RunDelay>()) {
  assign_ranks();
  threads_.reserve(size_ - 1);
  for (int i = 0; i + 1 < size_; ++i) threads_.emplace_back([this, i] { work(i); });
}

ThreadTeam::~ThreadTeam() {
  stop_ = true;
  join_all();
  epoch_.fetch_add(1, std::memory_order_release);
  epoch_.notify_all();
  for (auto& t : threads_) t.join();
}

// Whoever is benched when a run starts has finished all earlier ones, and is not counted in this one.
void ThreadTeam::bench(Worker& worker, Clock::time_point now) {
  bool again =
      worker.bench_time > Clock::duration::zero() && now - worker.back_at < 2 * worker.bench_time + kCalm;
  worker.bench_time = again ? std::min<Clock::duration>(2 * worker.bench_time, kLongestBench) : kFirstBench;
  worker.back_at = now + worker.bench_time;
  worker.benched = true;
  worker.first_epoch.store(kBenched, std::memory_order_release);
  assign_ranks();
}

void ThreadTeam::admit(Worker& worker) {
  worker.benched = false;
  worker.first_epoch.store(epoch_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  worker.first_epoch.notify_one();
  assign_ranks();
}

void ThreadTeam::assign_ranks() {
  active_ = 1;
  for (int i = 0; i + 1 < size_; ++i)
    if (!workers_[i].benched) workers_[i].rank.store(active_++, std::memory_order_relaxed);
}

void ThreadTeam::join_all() {
  for (int i = 0; active_ < size_ && i + 1 < size_; ++i)
    if (workers_[i].benched) admit(workers_[i]);
}

void ThreadTeam::choose_members() {
  if (size_ == 1) return;
  auto now = Clock::now();
  Worker* last = nullptr;
  for (int i = 0; i + 1 < size_; ++i) {
    Worker& w = workers_[i];
    if (w.benched) {
      if (now >= w.back_at) admit(w);
    } else if (w.delayed.load(std::memory_order_relaxed)) {
      w.delayed.store(false, std::memory_order_relaxed);
      bench(w, now);
    }
    if (!w.benched) last = &w;
  }
  if (left_driver_.exchange(false, std::memory_order_relaxed)) {
    driver_delay_->restart(now);
  } else if (driver_delay_->check(now) && last) {
    bench(*last, now);
  }
}

void ThreadTeam::run_erased(Job job, void* ctx) {
  if (active_ > 1) {
    job_ = job;
    ctx_ = ctx;
    driver_cpu_.store(current_cpu(), std::memory_order_relaxed);
    num_running_.store(active_ - 1, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
  }
  job(ctx, 0);
  if (active_ == 1) return;
  for (int left; (left = num_running_.load(std::memory_order_acquire)) != 0;)
    wait_change(num_running_, left, yield_time_);
}

// Whether one of the first `num_workers` ran there last.
bool ThreadTeam::is_on(int cpu, int num_workers) const {
  return cpu >= 0 && std::any_of(workers_.get(), workers_.get() + num_workers, [cpu](const Worker& w) {
           return w.cpu.load(std::memory_order_relaxed) == cpu;
         });
}

bool ThreadTeam::leave_shared_cpu(int index) {
  std::vector<int> taken = {driver_cpu_.load(std::memory_order_relaxed)};
  for (int i = 0; i + 1 < size_; ++i)
    if (i != index) taken.push_back(workers_[i].cpu.load(std::memory_order_relaxed));
  if (!leave_cpus(taken)) return false;
  workers_[index].cpu.store(current_cpu(), std::memory_order_relaxed);
  return true;
}

void ThreadTeam::work(int index) {
  Worker& me = workers_[index];
  RunDelay delay;
  Clock::time_point now = Clock::now(), moved = now - kForgetInterval;
  for (uint64_t seen = 0;;) {
    if (me.first_epoch.load(std::memory_order_acquire) == kBenched) {
      me.cpu.store(-1, std::memory_order_relaxed);
      me.first_epoch.wait(kBenched, std::memory_order_acquire);
      continue;
    }
    wait_change(epoch_, seen, yield_time_);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load(std::memory_order_relaxed)) return;
    if (seen < me.first_epoch.load(std::memory_order_acquire)) continue;  // that run goes without this worker
    const int cpu = current_cpu(), driver_cpu = driver_cpu_.load(std::memory_order_relaxed);
    if (cpu != me.cpu.load(std::memory_order_relaxed)) me.cpu.store(cpu, std::memory_order_relaxed);
    if (cpu >= 0 && (cpu == driver_cpu || is_on(cpu, index)) &&
        (now = Clock::now()) - moved >= kMoveInterval) {
      const bool forget = now - moved >= kForgetInterval;
      moved = now;
      if (leave_shared_cpu(index)) {
        if (forget) delay.restart(now);
        if (cpu == driver_cpu) left_driver_.store(true, std::memory_order_relaxed);
      }
    }
    job_(ctx_, me.rank.load(std::memory_order_relaxed));
    now = Clock::now();
    if (delay.check(now)) me.delayed.store(true, std::memory_order_relaxed);
    if (num_running_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_running_.notify_one();
  }
}

void ThreadTeam::barrier() {
  if (active_ == 1) return;
  uint32_t epoch = barrier_epoch_.load(std::memory_order_acquire);
  if (num_arrived_.fetch_add(1, std::memory_order_acq_rel) == active_ - 1) {
    num_arrived_.store(0, std::memory_order_relaxed);
    barrier_epoch_.fetch_add(1, std::memory_order_release);
    barrier_epoch_.notify_all();
  } else {
    wait_change(barrier_epoch_, epoch, yield_time_);
  }
}

}  // namespace turgo
