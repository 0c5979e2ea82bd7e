#include "models/kv_outliers.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace turgo {
namespace {

constexpr int32_t kProbeTokens = kKvBlockTokens;

float outlier_ratio(std::vector<float> magnitudes) {
  auto middle = magnitudes.begin() + static_cast<std::ptrdiff_t>(magnitudes.size() / 2);
  float largest = *std::max_element(magnitudes.begin(), magnitudes.end());
  std::nth_element(magnitudes.begin(), middle, magnitudes.end());
  return largest / std::max(*middle, 1e-20f);
}

// Largest ratio of one head's K and V over the slots of its page.
struct HeadRatios {
  float k, v;
};
HeadRatios head_ratios(const KvGeometry& geometry, const std::byte* page) {
  auto dim = static_cast<size_t>(geometry.head_dim);
  std::vector<float> k(dim), v(dim), k_max(dim), v_max(dim);
  for (int64_t slot = 0; slot < kProbeTokens; ++slot) {
    load_kv_token(geometry, page, slot, k.data(), v.data());
    for (size_t d = 0; d < dim; ++d) {
      k_max[d] = std::max(k_max[d], std::abs(k[d]));
      v_max[d] = std::max(v_max[d], std::abs(v[d]));
    }
  }
  return {outlier_ratio(std::move(k_max)), outlier_ratio(std::move(v_max))};
}

std::vector<int32_t> probe_tokens(const DecoderConfig& config) {
  std::vector<int32_t> ids(kProbeTokens);
  uint64_t x = 1;
  for (int32_t& id : ids) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    id = static_cast<int32_t>((x >> 33) % static_cast<uint64_t>(config.vocab_size));
  }
  if (config.bos_token_id >= 0 && config.bos_token_id < config.vocab_size) ids[0] = config.bos_token_id;
  return ids;
}

// Fills block 0 of every group's pool with the probe's keys and values.
void fill_cache(Decoder& decoder, std::span<std::byte* const> pools) {
  const DecoderConfig& config = decoder.config();
  std::vector<int32_t> ids = probe_tokens(config);
  size_t num_axes = 1;
  for (const RopeConfig& rope : config.ropes) num_axes = std::max(num_axes, rope.mrope_section.size());
  std::vector<int32_t> positions;
  for (int32_t p = 0; p < kProbeTokens; ++p) positions.insert(positions.end(), num_axes, p);
  int32_t block = 0;
  SequenceRows rows;
  rows.num_rows = kProbeTokens;
  rows.block_table = &block;
  std::vector<std::vector<SequenceRows>> sequences(pools.size(), {rows});
  auto hidden = decoder.executor().allocate(int64_t{kProbeTokens} * config.hidden_size * 4);
  TensorView view = f32_matrix(static_cast<float*>(hidden.get()), kProbeTokens, config.hidden_size);
  StepInput in;
  in.num_rows = kProbeTokens;
  in.token_ids = ids.data();
  in.positions = positions.data();
  in.num_axes = static_cast<int32_t>(num_axes);
  in.sequences = sequences;
  in.pools = pools;
  decoder.embed(in, view);
  decoder.forward_layers(0, config.num_layers(), in, view);
  decoder.executor().synchronize();
}

}  // namespace

KvOutliers measure_kv_outliers(const DecoderConfig& config, const DecoderWeights& weights,
                               std::shared_ptr<Executor> executor) {
  Decoder decoder(config, weights, std::move(executor), KvType::kF32, kProbeTokens, kProbeTokens);
  std::vector<std::shared_ptr<void>> memory;
  std::vector<std::byte*> pools;
  for (const CacheSpec& spec : decoder.cache_specs()) {
    memory.push_back(decoder.executor().allocate(spec.block_bytes));
    pools.push_back(static_cast<std::byte*>(memory.back().get()));
  }
  fill_cache(decoder, pools);

  KvOutliers result;
  float num_heads = 0;
  for (size_t g = 0; g < pools.size(); ++g) {
    const CacheSpec& spec = decoder.cache_specs()[g];
    for (size_t i = 0; i < spec.layers.size(); ++i)
      for (int32_t h = 0; h < spec.geometry[i].num_kv_heads; ++h) {
        HeadRatios ratio = head_ratios(spec.geometry[i],
                                       pools[g] + spec.layer_offset[i] + h * spec.geometry[i].page_bytes());
        if (ratio.k > result.worst_k) result.worst_k = ratio.k, result.worst_layer = spec.layers[i];
        result.worst_v = std::max(result.worst_v, ratio.v);
        result.mean_k += ratio.k;
        result.mean_v += ratio.v;
        ++num_heads;
      }
  }
  if (num_heads > 0) result.mean_k /= num_heads, result.mean_v /= num_heads;
  return result;
}

}  // namespace turgo
