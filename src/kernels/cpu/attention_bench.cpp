// Attention at SmolLM2's shape (9 heads, 3 kv heads, head_dim 64), one thread, best table of this CPU
// (TURGO_ISA names another). Decode: GB/s of pages read, over 30 layers so that the caches hold none of it.
// Prefill: FLOP/s of the causal half, 4 * head_dim per visible key. %read and %peak are shares of
// bench_limits.h: the peak is that of bf16 products for bf16 pages where the ISA has them, else of f32 (what
// V is multiplied in).
#include <benchmark/benchmark.h>

#include "kernels/cpu/attention_test_cache.h"
#include "kernels/cpu/bench_limits.h"

namespace turgo {
namespace {

constexpr int kHeadDim = 64, kGroup = 3, kKvHeads = 3;

benchmark::Counter per_second(double amount) {
  return {amount, benchmark::Counter::kIsIterationInvariantRate};
}

AttentionArgs make_args(TestCache& cache, int first_index, int num_queries, const float* q, float* out) {
  AttentionArgs a = cache.args();
  a.q = q;
  a.q_stride = kGroup * kHeadDim;
  a.out = out;
  a.out_stride = kGroup * kHeadDim;
  a.num_queries = num_queries;
  a.group = kGroup;
  a.first_index = first_index;
  a.scale = 0.125f;
  return a;
}

TestCache make_cache(const KernelTable& table, KvType type, int tokens) {
  TestCache cache(type, kHeadDim, tokens, 1);
  const auto k = random_floats(1 << 16, 2), v = random_floats(1 << 16, 3);
  for (int t = 0; t < tokens; ++t) {
    const auto at = static_cast<size_t>(t * 61 % ((1 << 16) - kHeadDim));
    cache.store(table, t, k.data() + at, v.data() + at);
  }
  return cache;
}

void decode(benchmark::State& state, KvType type) {
  const KernelTable& table = *select_kernels(nullptr);
  const int depth = static_cast<int>(state.range(0)), layers = 30 * kKvHeads;
  // One long cache; a layer's head takes `depth` tokens of it.
  TestCache cache = make_cache(table, type, depth * layers);
  const auto q = random_floats(kGroup * kHeadDim, 4);
  std::vector<float> out(q.size());
  for (auto _ : state) {
    for (int layer = 0; layer < layers; ++layer) {
      AttentionArgs a = make_args(cache, depth - 1, 1, q.data(), out.data());
      a.block_table += layer * (depth / kKvBlockTokens);
      table.attention(a);
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetLabel(table.isa);
  const double bytes = static_cast<double>(cache.geometry.page_bytes()) * depth / kKvBlockTokens * layers;
  state.counters["GB/s"] = per_second(bytes * 1e-9);
  state.counters["%read"] = per_second(100 * bytes / bench_limits().read_bytes);
}

void prefill(benchmark::State& state, KvType type) {
  const KernelTable& table = *select_kernels(nullptr);
  const int tokens = static_cast<int>(state.range(0));
  TestCache cache = make_cache(table, type, tokens);
  const auto q = random_floats(static_cast<size_t>(tokens * kGroup * kHeadDim), 4);
  std::vector<float> out(q.size());
  for (auto _ : state) {
    table.attention(make_args(cache, 0, tokens, q.data(), out.data()));
    benchmark::DoNotOptimize(out.data());
  }
  state.SetLabel(table.isa);
  const double flops = 2.0 * tokens * (tokens + 1) * kGroup * kHeadDim;
  const double peak = type == KvType::kBF16 ? bench_limits().bf16_ops : bench_limits().f32_ops;
  state.counters["GFLOP/s"] = per_second(flops * 1e-9);
  if (peak > 0) state.counters["%peak"] = per_second(100 * flops / peak);
}

void kv_store(benchmark::State& state, KvType type) {
  const KernelTable& table = *select_kernels(nullptr);
  TestCache cache(type, kHeadDim, kKvBlockTokens, 1);
  const auto x = random_floats(kHeadDim, 4);
  for (auto _ : state) {
    for (int t = 0; t < kKvBlockTokens; ++t) cache.store(table, t, x.data(), x.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kKvBlockTokens);
  state.SetLabel(table.isa);
}

void rows(benchmark::State& state, int what) {
  const KernelTable& table = *select_kernels(nullptr);
  const int64_t n = 1536;
  const auto x = random_floats(static_cast<size_t>(n), 4), w = random_floats(static_cast<size_t>(n), 5);
  std::vector<float> y(x.size());
  for (auto _ : state) {
    if (what == 0) table.rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
    if (what == 1) table.gated_activation(Activation::kSilu, x.data(), w.data(), n, y.data());
    if (what == 2) {
      for (int64_t i = 0; i < n; i += 64) table.rope(w.data(), 64, false, y.data() + i);
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
  state.SetLabel(table.isa);
}

#define TURGO_EACH_TYPE(function, ...)                          \
  BENCHMARK_CAPTURE(function, f32, KvType::kF32) __VA_ARGS__;   \
  BENCHMARK_CAPTURE(function, bf16, KvType::kBF16) __VA_ARGS__; \
  BENCHMARK_CAPTURE(function, int8, KvType::kI8) __VA_ARGS__;   \
  BENCHMARK_CAPTURE(function, int4, KvType::kI4) __VA_ARGS__;   \
  BENCHMARK_CAPTURE(function, k8v4, KvType::kK8V4) __VA_ARGS__

TURGO_EACH_TYPE(decode, ->Arg(512)->Arg(4096)->Unit(benchmark::kMillisecond));
TURGO_EACH_TYPE(prefill, ->Arg(512)->Unit(benchmark::kMicrosecond));
TURGO_EACH_TYPE(kv_store);
BENCHMARK_CAPTURE(rows, rms_norm, 0);
BENCHMARK_CAPTURE(rows, silu, 1);
BENCHMARK_CAPTURE(rows, rope, 2);

}  // namespace
}  // namespace turgo
