// The outlier ratio sees a channel that is made large, in the layer where it is.
#include "models/kv_outliers.h"

#include <gtest/gtest.h>

#include "models/tiny_model.h"
#include "ops/eager.h"

namespace turgo {
namespace {

KvOutliers measure(const DecoderConfig& config, const DecoderWeights& weights) {
  return measure_kv_outliers(
      config, weights,
      make_eager_executor(std::make_shared<ThreadTeam>(2), *select_kernels(nullptr), Precision::kF32));
}

TEST(KvOutliers, ABiasedKeyChannelIsFound) {
  TinyModel tiny(5);
  DecoderConfig config = TinyModel::llama_config(3);
  DecoderWeights weights = tiny.weights(config);
  KvOutliers even = measure(config, weights);
  EXPECT_GE(even.mean_k, 1);
  EXPECT_LT(even.worst_k, kUnsafeInt4Ratio);
  EXPECT_LT(even.worst_v, kUnsafeInt4Ratio);

  // 4 heads of 16 come first, then 2 of K, then 2 of V: a channel of the second K head in layer 1.
  std::vector<float> bias(static_cast<size_t>(weights.layers[1].qkv.n));
  bias[4 * 16 + 16 + 5] = 60;
  weights.layers[1].qkv.bias = bias.data();
  KvOutliers uneven = measure(config, weights);
  EXPECT_GT(uneven.worst_k, 10);
  EXPECT_EQ(uneven.worst_layer, 1);
  EXPECT_LT(uneven.worst_v, kUnsafeInt4Ratio);
  EXPECT_GT(uneven.mean_k, even.mean_k);

  bias[4 * 16 + 16 + 5] = 0;
  bias[4 * 16 + 32 + 3] = 60;
  KvOutliers values = measure(config, weights);
  EXPECT_GT(values.worst_v, 10);
  EXPECT_LT(values.worst_k, kUnsafeInt4Ratio + 2);
}

}  // namespace
}  // namespace turgo
