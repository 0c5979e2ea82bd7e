// Gemma 3 text: norms stored as w - 1 (GGUF stores w), four norms per layer, q and k norms, five sliding
// layers with rope base 10,000 per full layer with base 1,000,000, embeddings times sqrt(hidden_size), GELU
// (huggingface.co/docs/transformers/model_doc/gemma3); text_config of the multimodal folders is read too.
#include <cmath>

#include "core/error.h"
#include "models/dense_config.h"

namespace turgo {
namespace {

constexpr float kLocalTheta = 10000, kGlobalTheta = 1000000;

// Published multimodal configurations leave out what equals the defaults of transformers' Gemma3TextConfig.
constexpr DenseDefaults kTextDefaults{.vocab_size = 262208,
                                      .hidden_size = 2304,
                                      .num_layers = 26,
                                      .num_heads = 8,
                                      .num_kv_heads = 4,
                                      .head_dim = 256,
                                      .intermediate_size = 9216,
                                      .max_position = 131072,
                                      .rope_theta = kGlobalTheta,
                                      .tied_embeddings = true};

void read_windows(const HyperParams& p, DecoderConfig& c) {
  apply_sliding_window(p, false, c);  // layer_types, where given
  if (p.has({"layer_types", nullptr})) return;
  ParamName window_name{"sliding_window", "attention.sliding_window"};
  int32_t window =
      p.gguf() ? p.get_int(window_name, 0, kMaxPosition, 0) : p.get_int(window_name, 1, kMaxPosition, 4096);
  int32_t pattern = p.get_int({"sliding_window_pattern", nullptr}, 1, kMaxLayers, 6);
  for (int i = 0; i < c.num_layers() && window > 0; ++i) {
    LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    if ((i + 1) % pattern == 0 || layer.attention == AttentionKind::kNone) continue;
    layer.attention = AttentionKind::kSliding;
    layer.sliding_window = window;
  }
}

// ropes[0]: full layers; ropes[1]: sliding layers. Spelt rope_parameters.{full,sliding}_attention, or
// rope_theta
// + rope_local_base_freq (+ rope_scaling of the full layers), or as GGUF, where the local base is rare.
void read_ropes(const HyperParams& p, DecoderConfig& c) {
  RopeDefaults full{kGlobalTheta, c.layers[0].head_dim, c.max_position};
  RopeDefaults local{kLocalTheta, c.layers[0].head_dim, c.max_position};
  auto both = p.child("rope_parameters");
  auto full_object = both ? both->child("full_attention") : std::nullopt;
  auto local_object = both ? both->child("sliding_attention") : std::nullopt;
  c.ropes.resize(2);
  c.ropes[0] = full_object ? read_rope_object(p, *full_object, full) : read_rope(p, full);
  if (local_object) {
    c.ropes[1] = read_rope_object(p, *local_object, local);
  } else {
    c.ropes[1].rotary_dim = c.layers[0].head_dim;
    c.ropes[1].original_max_position = c.max_position;
    c.ropes[1].theta = p.get_float({"rope_local_base_freq", "rope.freq_base_swa"}, 1.001, 1e15, kLocalTheta);
  }
  for (LayerConfig& layer : c.layers) layer.rope = layer.attention == AttentionKind::kSliding ? 1 : 0;
}

// transformers casts the factor to the type of the embedding's weights: sqrt(640) is 25.25 in a bf16 folder.
float embedding_scale(const HyperParams& p, int32_t hidden_size) {
  float scale = std::sqrt(static_cast<float>(hidden_size));
  if (p.gguf()) return scale;
  const RawTensor* embed = p.file().find(dense_weight_map(p).prefix + "embed_tokens.weight");
  if (embed && embed->dtype == DType::kBF16) return to_f32(to_bf16(scale));
  if (embed && embed->dtype == DType::kF16) return to_f32(to_f16(scale));
  return scale;
}

DecoderConfig read_gemma3(const HyperParams& p) {
  constexpr DenseDefaults kGguf{.rope_theta = kGlobalTheta};
  DecoderConfig c = read_dense_config(p, "gemma3", p.gguf() ? kGguf : kTextDefaults);
  if (p.get_bool({"use_bidirectional_attention", nullptr}, false))
    fail(ErrorCode::kUnsupported, "{}: an embedding model with bidirectional attention can not generate text",
         quote(p.file().path(), 200));
  if (p.gguf() || !p.has({"hidden_activation", nullptr})) c.activation = Activation::kGeluTanh;
  c.norm_offset = !p.gguf();
  c.qk_norm = true;
  c.post_norms = true;
  c.embedding_scale = embedding_scale(p, c.hidden_size);
  auto scalar = static_cast<float>(c.layers[0].head_dim);
  if (!p.gguf()) scalar = p.get_float({"query_pre_attn_scalar", nullptr}, 1e-3, 1e6, 256);
  if (p.gguf() && c.num_layers() == 62)  // the 27B model; its GGUF does not carry the scalar
    scalar = static_cast<float>(c.hidden_size) / static_cast<float>(c.layers[0].num_heads);
  c.attention_scale = 1 / std::sqrt(scalar);
  c.attention_soft_cap = p.get_float({"attn_logit_softcapping", nullptr}, 0, 1e6, 0);
  c.logits_soft_cap = p.get_float({"final_logit_softcapping", "final_logit_softcapping"}, 0, 1e6, 0);
  read_windows(p, c);
  read_ropes(p, c);
  return c;
}

WeightMap gemma3_weights(const HyperParams& p, const DecoderConfig&) {
  using enum WeightRole;
  WeightMap map = dense_weight_map(p);
  add_qk_norms(p, map);
  std::erase_if(map.names, [](const WeightName& w) { return w.role == kPreMlpNorm; });
  map.names.push_back(
      {kPostAttentionNorm, p.gguf() ? "blk.{}.post_attention_norm" : "layers.{}.post_attention_layernorm"});
  map.names.push_back({kPreMlpNorm, p.gguf() ? "blk.{}.ffn_norm" : "layers.{}.pre_feedforward_layernorm"});
  map.names.push_back(
      {kPostMlpNorm, p.gguf() ? "blk.{}.post_ffw_norm" : "layers.{}.post_feedforward_layernorm"});
  if (p.get_bool({"attention_bias", nullptr}, false)) map.qkv_bias = map.o_bias = Presence::kAlways;
  return map;
}

}  // namespace

Architecture gemma3_architecture() {
  return {"gemma3",
          {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", "Gemma3TextModel", "gemma3_text", "gemma3"},
          {"gemma3"},
          read_gemma3,
          gemma3_weights};
}

}  // namespace turgo
