// An architecture as data. arch/*.cpp fill a DecoderConfig from config.json or GGUF keys; the one decoder
// reads it. A pruned, dropped or hybrid layer is a different LayerConfig, never a different class.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cpu/kernel_table.h"

namespace turgo {

enum class AttentionKind : uint8_t { kFull, kSliding, kChunked, kLatent, kRecurrent, kNone };
enum class MlpKind : uint8_t { kDense, kExperts, kNone };

enum class RopeScaling : uint8_t { kNone, kLinear, kDynamicNtk, kYarn, kLlama3, kLongRope };

// Rotary embedding of a group of layers; formulas as in transformers' modeling_rope_utils.
struct RopeConfig {
  float theta = 10000;
  int32_t rotary_dim = 0;  // <= head_dim
  bool interleaved = false;
  RopeScaling scaling = RopeScaling::kNone;
  float factor = 1;
  int32_t original_max_position = 0;
  float low_freq_factor = 1, high_freq_factor = 4;            // llama3
  float beta_fast = 32, beta_slow = 1, attention_factor = 0;  // yarn; 0 = the formula's own
  float mscale = 0, mscale_all_dim = 0;
  bool truncate = true;
  std::vector<float> short_factor, long_factor;  // longrope
  std::vector<int32_t> mrope_section;            // M-RoPE: pairs per axis; empty = one axis
};

struct LayerConfig {
  int32_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int32_t intermediate_size = 0;
  AttentionKind attention = AttentionKind::kFull;
  MlpKind mlp = MlpKind::kDense;
  int32_t sliding_window = 0;  // keys seen with kSliding, itself included
  int32_t rope = 0;            // index into DecoderConfig::ropes; -1 = no rope
  bool sinks = false;
};

struct DecoderConfig {
  std::string architecture;  // "llama", "gemma3", …
  int32_t hidden_size = 0, vocab_size = 0;
  int32_t max_position = 0;  // the context that the model was made for
  std::vector<LayerConfig> layers;
  std::vector<RopeConfig> ropes;
  float norm_eps = 1e-5f;
  bool norm_offset = false;  // weights are stored as w - 1 (Gemma); the loader adds the one
  bool qk_norm = false;
  bool post_norms = false;  // Gemma: norm after attention and after the MLP, before the residual sum
  Activation activation = Activation::kSilu;
  float embedding_scale = 1;
  float attention_scale = 0;  // 0 = 1 / sqrt(head_dim)
  float attention_soft_cap = 0, logits_soft_cap = 0;
  float residual_scale = 1, logits_scale = 1;
  bool tied_embeddings = false;
  std::vector<int32_t> eos_token_ids;
  int32_t bos_token_id = -1;

  int num_layers() const { return static_cast<int>(layers.size()); }
};

}  // namespace turgo
