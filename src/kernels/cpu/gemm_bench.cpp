// Linear kernels in share of the machine's limits, which are measured first, in the same run and on the same
// thread: a vpdpbusd / vdpbf16ps loop in registers and a plain read of 128 MB. Single-threaded; shapes are
// those of SmolLM2-135M (K types: only where k is a multiple of 256). m = 1 … 16 stream a weight of at least
// 64 MB (copies of the matrix), as decoding does.
//   TURGO_ISA=name picks the kernel table.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>
#include <string>

#include "kernels/common/test_weights.h"
#include "kernels/cpu/kernel_table.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace turgo {
namespace {

// CPU time of this thread: a busy neighbour then costs cache and clock, but not whole time slices.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double seconds_since(double start) {
  return thread_seconds() - start;
}

struct Limits {
  double read_bytes = 0, int8_ops = 0, bf16_ops = 0;  // per second, one thread, best of several
};

#if defined(__x86_64__)
// Eight and fourteen independent chains in named registers: dots have a latency of 4 and 6 at two per cycle.
__attribute__((target("avx512f"))) void vnni_loop(int64_t rounds) {
#define DOT(r) "vpdpbusd %%zmm" #r ", %%zmm" #r ", %%zmm1" #r "\n"
  for (int64_t i = 0; i < rounds; ++i) {
    __asm__ volatile(DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6) DOT(7) DOT(8) DOT(9)::
                         : "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18",
                           "xmm19");
  }
#undef DOT
}

__attribute__((target("avx512f"))) void bf16_loop(int64_t rounds) {
#define DOT(r) "vdpbf16ps %%zmm31, %%zmm31, %%zmm" #r "\n"
  for (int64_t i = 0; i < rounds; ++i) {
    __asm__ volatile("vpxord %%zmm31, %%zmm31, %%zmm31\n" DOT(0) DOT(1) DOT(2) DOT(3) DOT(4) DOT(5) DOT(6)
                         DOT(7) DOT(8) DOT(9) DOT(10) DOT(11) DOT(12) DOT(13)::
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                               "xmm10", "xmm11", "xmm12", "xmm13", "xmm31");
  }
#undef DOT
}

__attribute__((target("avx512f"))) int64_t read_all(const std::byte* data, int64_t bytes) {
  __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
  for (int64_t i = 0; i < bytes; i += 256) {
    const std::byte* p = data + i;
    for (int j = 0; j < 256; j += 64) _mm_prefetch(reinterpret_cast<const char*>(p + 8192 + j), _MM_HINT_T0);
    s0 = _mm512_add_epi64(s0, _mm512_load_si512(p));
    s1 = _mm512_add_epi64(s1, _mm512_load_si512(p + 64));
    s2 = _mm512_add_epi64(s2, _mm512_load_si512(p + 128));
    s3 = _mm512_add_epi64(s3, _mm512_load_si512(p + 192));
  }
  alignas(64) int64_t sums[8];
  _mm512_store_si512(sums, _mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3)));
  return sums[0];
}

bool has_avx512() {
  for (const KernelTable* const* t = usable_kernel_tables(); *t; ++t) {
    if (std::string((*t)->isa) == "avx512") return true;
  }
  return false;
}
#endif

Limits measure_limits() {
  Limits best;
#if defined(__x86_64__)
  if (!has_avx512()) return best;
  constexpr int64_t kRounds = 1000000, kBytes = 128 << 20;
  AlignedBytes data(kBytes);
  std::memset(data.data(), 1, kBytes);
  for (int i = 0; i < 20; ++i) {
    double start = thread_seconds();
    vnni_loop(kRounds);
    best.int8_ops = std::max(best.int8_ops, kRounds * 10 * 128.0 / seconds_since(start));
    start = thread_seconds();
    bf16_loop(kRounds / 2);
    best.bf16_ops = std::max(best.bf16_ops, kRounds / 2 * 14 * 64.0 / seconds_since(start));
    start = thread_seconds();
    benchmark::DoNotOptimize(read_all(data.data(), kBytes));
    best.read_bytes = std::max(best.read_bytes, kBytes / seconds_since(start));
  }
#endif
  return best;
}

const Limits& limits() {
  static const Limits measured = measure_limits();
  return measured;
}

struct Shape {
  int64_t k, n;
};

void linear(benchmark::State& state, DType dtype, Precision precision, Shape shape) {
  const KernelTable* table = select_kernels(nullptr);
  int64_t m = state.range(0), n = shape.n, k = shape.k;
  int64_t bytes = packed_bytes(dtype, n, k);
  int64_t copies = m <= 16 ? std::max<int64_t>(1, (128 << 20) / bytes) : 1;
  TestRows rows = random_rows(dtype, n, k, 1);
  AlignedBytes packed(bytes * copies);
  for (int64_t c = 0; c < copies; ++c) {
    pack_weight(dtype, rows.bytes.data(), rows.stride(), n, k, 0, num_panels(n), packed.data() + c * bytes);
  }
  std::vector<float> x(static_cast<size_t>(m * k)), y(static_cast<size_t>(m * n));
  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(rng);
  AlignedBytes activations(table->activation_bytes(precision, m, k));
  int64_t tile = table->activation_tile(precision);
  table->pack_activations(precision, x.data(), k, m, k, 0, (m + tile - 1) / tile, activations.data());
  GemmArgs args;
  args.precision = precision;
  args.activations = activations.data();
  args.m = m;
  args.panel_end = num_panels(n);
  args.y = y.data();
  args.y_stride = n;
  double best = 1e9;
  for (auto _ : state) {
    double start = thread_seconds();
    for (int64_t c = 0; c < copies; ++c) {
      args.weight = {dtype, n, k, packed.data() + c * bytes};
      table->gemm(args);
    }
    best = std::min(best, seconds_since(start));
  }
  const Limits& l = limits();
  double read = static_cast<double>(bytes * copies) / best;
  double ops = 2.0 * static_cast<double>(m * n * k * copies) / best;
  state.counters["GB/s"] = read / 1e9;
  state.counters["TOPS"] = ops / 1e12;
  if (l.read_bytes > 0) {
    state.counters["%read"] = 100 * read / l.read_bytes;
    state.counters["%peak"] = 100 * ops / (precision == Precision::kInt8 ? l.int8_ops : l.bf16_ops);
  }
}

void pack(benchmark::State& state, Precision precision) {
  const KernelTable* table = select_kernels(nullptr);
  int64_t m = state.range(0), k = 576;
  std::vector<float> x(static_cast<size_t>(m * k));
  std::mt19937 rng(2);
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(rng);
  AlignedBytes activations(table->activation_bytes(precision, m, k));
  int64_t tile = table->activation_tile(precision);
  double best = 1e9;
  for (auto _ : state) {
    double start = thread_seconds();
    table->pack_activations(precision, x.data(), k, m, k, 0, (m + tile - 1) / tile, activations.data());
    best = std::min(best, seconds_since(start));
  }
  state.counters["ns/element"] = best * 1e9 / static_cast<double>(m * k);
}

// Loading: weights of a file into panels.
void pack_weights(benchmark::State& state, DType dtype) {
  constexpr int64_t kRows = 512, kColumns = 1024;
  TestRows rows = random_rows(dtype, kRows, kColumns, 1);
  AlignedBytes packed(packed_bytes(dtype, kRows, kColumns));
  double best = 1e9;
  for (auto _ : state) {
    double start = thread_seconds();
    pack_weight(dtype, rows.bytes.data(), rows.stride(), kRows, kColumns, 0, num_panels(kRows),
                packed.data());
    best = std::min(best, seconds_since(start));
  }
  state.counters["ns/weight"] = best * 1e9 / static_cast<double>(kRows * kColumns);
}

void register_all() {
  struct Kind {
    DType dtype;
    Precision precision;
  };
  constexpr const char* kPrecisionNames[] = {"int8", "bf16", "f32"};
  constexpr Shape kShapes[] = {{576, 960}, {576, 3072}, {1536, 576}, {576, 49152}};
  std::vector<Kind> kinds = {{DType::kBF16, Precision::kBF16}, {DType::kF32, Precision::kF32}};
  for (DType d : kWeightTypes) {
    if (is_quantized(d)) kinds.push_back({d, Precision::kInt8});
  }
  kinds.push_back({DType::kQ4_1, Precision::kBF16});
  kinds.push_back({DType::kQ4_1, Precision::kF32});
  for (Kind kind : kinds) {
    for (Shape s : kShapes) {
      if (s.k % dtype_info(kind.dtype).block_size != 0) continue;
      std::string name = std::string(dtype_info(kind.dtype).name) + "/" +
                         kPrecisionNames[static_cast<int>(kind.precision)] + "/" + std::to_string(s.k) + "x" +
                         std::to_string(s.n) + "/m";
      auto* b = benchmark::RegisterBenchmark(
          name.c_str(), [kind, s](benchmark::State& state) { linear(state, kind.dtype, kind.precision, s); });
      b->Arg(1)->Arg(4)->Arg(8)->Arg(16)->Arg(512)->Unit(benchmark::kMicrosecond);
    }
  }
  for (DType d : kWeightTypes) {
    std::string name = std::string("pack_weight/") + dtype_info(d).name;
    benchmark::RegisterBenchmark(name.c_str(), [d](benchmark::State& state) { pack_weights(state, d); });
  }
  for (Precision p : {Precision::kInt8, Precision::kBF16, Precision::kF32}) {
    std::string name = std::string("pack_activations/") + kPrecisionNames[static_cast<int>(p)] + "/576/m";
    benchmark::RegisterBenchmark(name.c_str(), [p](benchmark::State& state) { pack(state, p); })
        ->Arg(1)
        ->Arg(512);
  }
}

[[maybe_unused]] const bool kRegistered = (register_all(), true);

}  // namespace
}  // namespace turgo
