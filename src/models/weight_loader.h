// Tensors -> DecoderWeights, a layer at a time: plan the sources of every matrix (slices of this rank
// included), take one buffer for the layer, pack, drop the mapped pages.
#pragma once

#include <unordered_map>
#include <vector>

#include "models/load_model.h"
#include "models/row_source.h"
#include "models/weight_buffer.h"
#include "models/weight_map.h"

namespace turgo {

class WeightLoader {
 public:
  // `specs` were checked against the file. Throws Error{kInvalidArgument} if the plan can not cut the model.
  WeightLoader(const ModelFile& file, const DecoderConfig& config, const std::vector<TensorSpec>& specs,
               const LoadOptions& options);

  DecoderWeights load();
  // The config as this rank sees it: local heads and widths.
  DecoderConfig local_config() const;

 private:
  struct LinearPlan {
    std::vector<RowSource> rows;
    std::vector<RowSource> bias;  // empty, or one per entry of rows (tensor null: zeros)
    ShardSpec shard;
  };
  struct HeadShare {
    int64_t first_head, heads, first_kv, kv_heads;
  };
  HeadShare head_share(int layer) const;
  Range width_share(int layer, int rank) const;
  const RawTensor* tensor(WeightRole role, int layer, bool bias = false) const;
  void check_plan() const;
  void add(LinearPlan& plan, WeightRole role, int layer, RowSource slice) const;
  LinearPlan plan_qkv(int layer) const;
  LinearPlan plan_rows(int layer, const std::vector<WeightRole>& roles) const;  // gate | up
  LinearPlan plan_columns(int layer, WeightRole role, Range columns) const;     // o, down
  LinearPlan plan_head(const RawTensor& table, bool sharded) const;

  static std::span<const int32_t> column_order(const LinearPlan& plan);
  LinearWeight pack(const LinearPlan& plan, WeightBuffer& buffer, std::string name);
  NormWeight pack_norm(WeightRole role, int layer, WeightBuffer& buffer);
  LayerWeights load_layer(int layer);
  void load_tables(DecoderWeights& weights);
  void drop(const RawTensor* tensor);

  const DecoderConfig& config_;
  const LoadOptions& options_;
  std::unordered_map<uint64_t, const RawTensor*> tensors_;  // by role, layer and bias
  std::shared_ptr<WeightArena> arena_;
  std::vector<std::shared_ptr<const void>> owners_;
  int64_t weight_bytes_ = 0, done_bytes_ = 0, total_bytes_ = 0;
};

}  // namespace turgo
