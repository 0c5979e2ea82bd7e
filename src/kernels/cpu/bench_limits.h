// What one thread of this machine can do with the ISA of a kernel table, measured in the same run: shares of
// the roofline are shares of these. For benchmarks only.
#pragma once

#include <time.h>

#include <algorithm>
#include <cstring>

#include "kernels/common/test_weights.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rate_loops.h"

namespace turgo {

// CPU time of this thread: a busy neighbour then costs cache and clock, but not whole time slices.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

inline double seconds_since(double start) {
  return thread_seconds() - start;
}

struct BenchLimits {
  double read_bytes = 0, int8_ops = 0, bf16_ops = 0,
         f32_ops = 0;  // per second, best of several; 0: not known
};

inline BenchLimits measure_bench_limits() {
  constexpr int64_t kRounds = 100000, kBytes = 128 << 20;
  const char* isa = select_kernels(nullptr)->isa;
  AlignedBytes data(kBytes);
  std::memset(data.data(), 1, kBytes);
  BenchLimits best;
  auto rate = [&](RateKind kind, double& ops) {
    double start = thread_seconds(), done = run_rate_loop(isa, kind, kRounds);
    if (done > 0) ops = std::max(ops, done / seconds_since(start));
  };
  volatile int64_t sum = 0;
  for (int i = 0; i < 20; ++i) {
    rate(RateKind::kInt8, best.int8_ops);
    rate(RateKind::kBF16, best.bf16_ops);
    rate(RateKind::kF32, best.f32_ops);
    double start = thread_seconds();
    sum = sum + read_all(isa, data.data(), kBytes);
    best.read_bytes = std::max(best.read_bytes, kBytes / seconds_since(start));
  }
  return best;
}

inline const BenchLimits& bench_limits() {
  static const BenchLimits measured = measure_bench_limits();
  return measured;
}

}  // namespace turgo
