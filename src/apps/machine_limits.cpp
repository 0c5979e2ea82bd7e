#include "apps/machine_limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <new>

#include "core/reserved_memory.h"
#include "kernels/cpu/rate_loops.h"

namespace turgo {
namespace {

constexpr int64_t kChunk = 4096;
constexpr int64_t kRounds = 100000;  // of 14 instructions: some 0.2 ms

template <class F>
double seconds_of(F&& f) {
  auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double measure_rate(ThreadTeam& team, const char* isa, RateKind kind) {
  double ops = run_rate_loop(isa, kind, 1) * kRounds * team.size(), best = 0;
  for (int pass = 0; ops > 0 && pass < 40; ++pass) {
    double seconds = seconds_of([&] { team.run([&](int) { run_rate_loop(isa, kind, kRounds); }); });
    best = std::max(best, ops / seconds);
  }
  return best;
}

double measure_read(ThreadTeam& team, const char* isa, int64_t bytes) {
  bytes = (std::max<int64_t>(bytes, int64_t{1} << 20) + kChunk - 1) / kChunk * kChunk;
  ReservedMemory buffer(bytes);
  if (!buffer.data()) throw std::bad_alloc();
  auto part = [&](int rank) { return split_range(bytes, team.size(), rank, kChunk); };
  team.run([&](int rank) {
    Range r = part(rank);
    std::memset(buffer.data() + r.begin, 1, static_cast<size_t>(r.end - r.begin));
  });
  std::atomic<int64_t> sink{0};
  double best = 0;
  for (int pass = 0; pass < 12; ++pass) {
    double seconds = seconds_of([&] {
      team.run([&](int rank) {
        Range r = part(rank);
        sink.fetch_add(read_all(isa, buffer.data() + r.begin, r.end - r.begin), std::memory_order_relaxed);
      });
    });
    best = std::max(best, static_cast<double>(bytes) / seconds);
  }
  return best;
}

}  // namespace

MachineLimits measure_machine_limits(ThreadTeam& team, const char* isa, int64_t bytes) {
  MachineLimits limits;
  limits.int8_ops = measure_rate(team, isa, RateKind::kInt8);
  limits.bf16_ops = measure_rate(team, isa, RateKind::kBF16);
  limits.f32_ops = measure_rate(team, isa, RateKind::kF32);
  limits.read_bytes = measure_read(team, isa, bytes);
  return limits;
}

}  // namespace turgo
