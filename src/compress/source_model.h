// The model that is compressed, as f32 matrices under Hugging Face's names, a layer at a time, whatever the
// file was. Invariants: q and k rows are in Hugging Face's rope order (GGUF's llama files are un-permuted,
// and config() says half-split), grouped qkv matrices are split, norm weights are as they multiply.
// Everything is finite (Error{kCorrupt} names the tensor).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/model_file.h"
#include "models/decoder_config.h"
#include "models/weight_map.h"

namespace turgo {

struct LinearMatrix {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  int64_t n = 0, k = 0;
  std::vector<float> weight;  // [n][k]
  std::vector<float> bias;    // [n], or empty
  explicit operator bool() const { return n > 0; }
};

struct SourceLayer {
  int index = 0;
  LayerConfig config;
  // [hidden_size] or empty; the head norms [head_dim]
  std::vector<float> input_norm, post_attention_norm, pre_mlp_norm, post_mlp_norm, q_norm, k_norm;
  LinearMatrix q, k, v, o, gate, up, down;

  std::vector<LinearMatrix*> linears();  // those that exist, in this order
  std::vector<const LinearMatrix*> linears() const;
};

class SourceModel {
 public:
  // Throws as load_model(), and Error{kUnsupported} for a folder whose weights are quantised already by AWQ,
  // GPTQ or the like, unless they may be quantised again.
  explicit SourceModel(const std::string& path, bool allow_requantize = false);

  const DecoderConfig& config() const { return config_; }
  const ModelFile& file() const { return *file_; }
  std::shared_ptr<const ModelFile> shared_file() const { return file_; }
  // Name of the block type that most weights have ("q4_1"), "" for a plain float model.
  std::string quantized_type() const;

  SourceLayer load_layer(int index) const;
  std::vector<float> final_norm() const;
  bool tied() const { return config_.tied_embeddings; }
  const RawTensor& embed_tokens() const;
  const RawTensor& lm_head() const;  // the embedding table where it is tied
  // Rows of the embedding table as the first layer sees them (scaled): out [ids.size()][hidden_size].
  void embed(const std::vector<int32_t>& ids, float* out) const;

 private:
  const RawTensor* find(WeightRole role, int layer, bool bias = false) const;
  std::vector<float> vector(WeightRole role, int layer) const;
  LinearMatrix linear(WeightRole role, int layer, const char* name) const;
  void split_grouped(SourceLayer& layer) const;

  std::shared_ptr<const ModelFile> file_;
  DecoderConfig config_;
  bool unpermute_ = false;
  std::map<std::tuple<WeightRole, int, bool>, const RawTensor*> tensors_;
};

// A tensor's rows [begin, begin + count) as f32. Throws Error{kCorrupt} that names it for NaN or infinity.
void read_rows(const RawTensor& tensor, int64_t begin, int64_t count, float* out);

}  // namespace turgo
