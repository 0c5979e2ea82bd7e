// Qwen2 and Qwen2.5 (biases on q, k and v), Qwen3 (none, but a norm on every head of q and k).
//   https://huggingface.co/docs/transformers/model_doc/qwen2 and …/qwen3
#include "models/dense_config.h"

namespace turgo {
namespace {

// `use_sliding_window` (published as false): layers from max_window_layers on see only the window.
void qwen_windows(const HyperParams& p, DecoderConfig& c) {
  if (p.gguf() || !p.get_bool({"use_sliding_window", nullptr}, false)) return;
  apply_sliding_window(p, true, c);
  if (p.has({"layer_types", nullptr})) return;
  int32_t first = p.get_int({"max_window_layers", nullptr}, 0, kMaxPosition, 28);
  for (int i = 0; i < c.num_layers() && i < first; ++i) {
    LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    if (layer.attention == AttentionKind::kSliding) layer.attention = AttentionKind::kFull;
    layer.sliding_window = 0;
  }
}

DecoderConfig read_qwen2(const HyperParams& p) {
  DecoderConfig c = read_dense_config(p, "qwen2", {.max_position = 32768});
  qwen_windows(p, c);
  return c;
}

DecoderConfig read_qwen3(const HyperParams& p) {
  DecoderConfig c = read_dense_config(p, "qwen3", {.head_dim = 128, .max_position = 32768});
  c.qk_norm = true;
  qwen_windows(p, c);
  return c;
}

WeightMap qwen2_weights(const HyperParams& p, const DecoderConfig&) {
  WeightMap map = dense_weight_map(p);
  map.qkv_bias = Presence::kAlways;
  return map;
}

WeightMap qwen3_weights(const HyperParams& p, const DecoderConfig&) {
  WeightMap map = dense_weight_map(p);
  add_qk_norms(p, map);
  if (!p.gguf() && p.get_bool({"attention_bias", nullptr}, false))
    map.qkv_bias = map.o_bias = Presence::kAlways;
  return map;
}

}  // namespace

Architecture qwen2_architecture() {
  return {"qwen2", {"Qwen2ForCausalLM", "Qwen2Model", "qwen2"}, {"qwen2"}, read_qwen2, qwen2_weights};
}

Architecture qwen3_architecture() {
  return {"qwen3", {"Qwen3ForCausalLM", "Qwen3Model", "qwen3"}, {"qwen3"}, read_qwen3, qwen3_weights};
}

}  // namespace turgo
