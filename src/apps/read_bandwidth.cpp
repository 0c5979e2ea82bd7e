#include "apps/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>

namespace turgo {
namespace {

constexpr int64_t kChunk = 4096;

// Eight independent sums: the loop waits for memory, not for the adder.
uint64_t sum_bytes(const uint64_t* p, int64_t begin, int64_t end) {
  uint64_t sums[8] = {};
  for (int64_t i = begin; i + 8 <= end; i += 8)
    for (int64_t lane = 0; lane < 8; ++lane) sums[lane] += p[i + lane];
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

double measure_read_bandwidth(ThreadTeam& team, int64_t bytes) {
  int64_t words = std::max<int64_t>(bytes, int64_t{1} << 20) / 8;
  std::unique_ptr<uint64_t[]> buffer(new uint64_t[static_cast<size_t>(words)]);
  auto part = [&](int rank) { return split_range(words, team.size(), rank, kChunk); };
  team.run([&](int rank) {
    Range r = part(rank);
    std::memset(buffer.get() + r.begin, 1, static_cast<size_t>(r.end - r.begin) * 8);
  });
  std::atomic<uint64_t> sink{0};
  double best = 0;
  for (int pass = 0; pass < 7; ++pass) {
    auto start = std::chrono::steady_clock::now();
    team.run([&](int rank) {
      Range r = part(rank);
      sink.fetch_add(sum_bytes(buffer.get(), r.begin, r.end), std::memory_order_relaxed);
    });
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, static_cast<double>(words) * 8 / seconds);
  }
  return best;
}

}  // namespace turgo
