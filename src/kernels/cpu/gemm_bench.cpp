// Linear kernels in share of the machine's limits, which are measured first, in the same run and on the same
// thread: the products of the ISA in registers (rate_loops.h) and a plain read of 128 MB. Single-threaded;
// shapes are those of SmolLM2-135M (K types: only where k is a multiple of 256). m = 1 … 16 stream a weight
// of at least 64 MB (copies of the matrix), as decoding does.
//   TURGO_ISA=name picks the kernel table.
#include <benchmark/benchmark.h>

#include <string>

#include "kernels/cpu/bench_limits.h"

namespace turgo {
namespace {

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
  const BenchLimits& l = bench_limits();
  double read = static_cast<double>(bytes * copies) / best;
  double ops = 2.0 * static_cast<double>(m * n * k * copies) / best;
  state.counters["GB/s"] = read / 1e9;
  state.counters["TOPS"] = ops / 1e12;
  double peak = precision == Precision::kInt8   ? l.int8_ops
                : precision == Precision::kBF16 ? l.bf16_ops
                                                : l.f32_ops;
  state.counters["%read"] = 100 * read / l.read_bytes;
  if (peak > 0) state.counters["%peak"] = 100 * ops / peak;
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
    if (has_integer_weights(d)) kinds.push_back({d, Precision::kInt8});
  }
  kinds.push_back({DType::kQ4_1, Precision::kBF16});
  kinds.push_back({DType::kQ4_1, Precision::kF32});
  kinds.push_back({DType::kF8G64, Precision::kBF16});
  for (Kind kind : kinds) {
    for (Shape s : kShapes) {
      if (s.k % dtype_info(kind.dtype).block_size != 0) continue;
      std::string name = std::string(dtype_info(kind.dtype).name) + "/" +
                         kPrecisionNames[static_cast<int>(kind.precision)] + "/" + std::to_string(s.k) + "x" +
                         std::to_string(s.n) + "/m";
      auto* b = benchmark::RegisterBenchmark(
          name.c_str(), [kind, s](benchmark::State& state) { linear(state, kind.dtype, kind.precision, s); });
      b->Arg(1)->Arg(2)->Arg(4)->Arg(6)->Arg(8)->Arg(16)->Arg(64)->Arg(512)->Unit(benchmark::kMicrosecond);
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
