// How unevenly a model's keys and values fill their range, which decides whether 4 bits are enough. A 4-bit
// cache has one scale per token and head: a channel that is r times as large as the others leaves them
// 15 / r steps.
#pragma once

#include <memory>

#include "models/decoder.h"

namespace turgo {

// Ratio of the largest channel of a head to its median channel (largest magnitude of each over the probe's
// tokens).
struct KvOutliers {
  float worst_k = 0, worst_v = 0;  // over all heads
  float mean_k = 0, mean_v = 0;
  int32_t worst_layer = -1;  // of worst_k
};

// Runs one block of 64 pseudo-random tokens through the model with an f32 cache and looks at that. Costs one
// prefill of 64 tokens. With tensor parallelism every rank calls it, and sees its own heads.
KvOutliers measure_kv_outliers(const DecoderConfig& config, const DecoderWeights& weights,
                               std::shared_ptr<Executor> executor);

// Above it one 4-bit scale per head costs too much. Measured on WikiText, ctx 2,048: a worst ratio of 8.0
// (SmolLM2-135M) costs 12 % of perplexity, 43 (Gemma 3 270M) a factor of 7; random weights have 1.5.
inline constexpr float kUnsafeInt4Ratio = 4;

}  // namespace turgo
