#include "comm/thread_group.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "core/thread_team.h"

namespace turgo {
namespace {

// Ranks leave a phase of compute at nearly the same time: spin for a few microseconds, then give the core
// away, then sleep.
constexpr int kSpins = 2000;
constexpr int kYields = 64;

// What the ranks share.
struct Hub {
  explicit Hub(int n) : size(n), data(static_cast<size_t>(n)), counts(static_cast<size_t>(n)) {}

  const int size;
  std::vector<float*> data;  // written by its rank before a barrier, read after it
  std::vector<int64_t> counts;
  std::atomic<int> num_arrived{0};
  std::atomic<uint32_t> epoch{0};
  std::atomic<bool> aborted{false};

  void check() const {
    if (aborted.load(std::memory_order_acquire))
      fail(ErrorCode::kCancelled, "another rank of the tensor-parallel group failed");
  }

  void barrier() {
    check();
    uint32_t before = epoch.load(std::memory_order_acquire);
    if (num_arrived.fetch_add(1, std::memory_order_acq_rel) == size - 1) {
      num_arrived.store(0, std::memory_order_relaxed);
      epoch.fetch_add(1, std::memory_order_release);
      epoch.notify_all();
      return;
    }
    for (int i = 0; epoch.load(std::memory_order_acquire) == before; ++i) {
      if (i < kSpins) continue;
      if (i < kSpins + kYields) {
        std::this_thread::yield();
      } else {
        epoch.wait(before, std::memory_order_acquire);
      }
    }
    check();
  }
};

class ThreadGroup : public Group {
 public:
  ThreadGroup(std::shared_ptr<Hub> hub, int rank) : hub_(std::move(hub)), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return hub_->size; }

  void all_reduce(float* data, int64_t count) override {
    if (size() == 1) return;
    meet(data, count);
    Range mine = split_range(count, size(), rank_, 16);
    for (int64_t i = mine.begin; i < mine.end; ++i) {
      float sum = hub_->data[0][i];
      for (int r = 1; r < size(); ++r) sum += hub_->data[static_cast<size_t>(r)][i];
      for (float* target : hub_->data) target[i] = sum;
    }
    hub_->barrier();
  }

  void all_gather(const float* local, int64_t count, float* full) override {
    meet(const_cast<float*>(local), count);
    for (int r = 0; r < size(); ++r) std::copy_n(hub_->data[static_cast<size_t>(r)], count, full + r * count);
    hub_->barrier();
  }

  void abort() override {
    hub_->aborted.store(true, std::memory_order_release);
    hub_->epoch.fetch_add(1, std::memory_order_release);
    hub_->epoch.notify_all();
  }

  void reset() override {
    hub_->num_arrived.store(0, std::memory_order_relaxed);
    hub_->aborted.store(false, std::memory_order_release);
  }

 private:
  void meet(float* data, int64_t count) {
    auto me = static_cast<size_t>(rank_);
    hub_->data[me] = data;
    hub_->counts[me] = count;
    hub_->barrier();
    for (int64_t other : hub_->counts) CHECK_EQ(other, count);
  }

  std::shared_ptr<Hub> hub_;
  int rank_;
};

}  // namespace

std::vector<std::shared_ptr<Group>> make_thread_group(int size) {
  CHECK(size > 0, "{} ranks", size);
  auto hub = std::make_shared<Hub>(size);
  std::vector<std::shared_ptr<Group>> ranks;
  for (int r = 0; r < size; ++r) ranks.push_back(std::make_shared<ThreadGroup>(hub, r));
  return ranks;
}

}  // namespace turgo
