// Cost of one draw at the vocabularies of SmolLM2 and Gemma 3, with the settings people use.
#include <benchmark/benchmark.h>

#include <random>

#include "sampling/sampler.h"

namespace turgo {
namespace {

void run(benchmark::State& state, const SamplingParams& p) {
  auto n = static_cast<size_t>(state.range(0));
  std::mt19937 rng(1);
  std::normal_distribution<float> normal(0, 3);
  std::vector<float> row(n), copy(n);
  for (float& x : row) x = normal(rng);
  Sampler sampler(p, {}, static_cast<int32_t>(n));
  SampleScratch scratch;
  int64_t position = 0;
  for (auto _ : state) {
    copy = row;
    benchmark::DoNotOptimize(sampler.sample(copy, ++position, nullptr, scratch).token_id);
  }
}

SamplingParams params(float temperature, int32_t top_k, float top_p, int32_t logprobs = -1) {
  SamplingParams p;
  p.temperature = temperature;
  p.top_k = top_k;
  p.top_p = top_p;
  p.num_logprobs = logprobs;
  return p;
}

BENCHMARK_CAPTURE(run, greedy, params(0, 0, 1))->Arg(49152)->Arg(262144);
BENCHMARK_CAPTURE(run, top_k_40_top_p_80, params(0.8f, 40, 0.8f))->Arg(49152)->Arg(262144);
BENCHMARK_CAPTURE(run, top_p_95, params(0.8f, 0, 0.95f))->Arg(49152)->Arg(262144);
BENCHMARK_CAPTURE(run, plain, params(1, 0, 1))->Arg(49152)->Arg(262144);
BENCHMARK_CAPTURE(run, greedy_logprobs_5, params(0, 0, 1, 5))->Arg(49152)->Arg(262144);

}  // namespace
}  // namespace turgo
