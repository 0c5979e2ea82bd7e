// Llama 1–3.x, SmolLM2 and everything that is published under their class name. Mistral is the same with a
// sliding window on every layer (and is called "llama" in GGUF).
//   LlamaForCausalLM: https://huggingface.co/docs/transformers/model_doc/llama
//   GGUF stores the rows of q and k so that rope pairs are neighbours (2i, 2i + 1): rope is interleaved
//   there.
#include "models/dense_config.h"

namespace turgo {
namespace {

DecoderConfig read_llama(const HyperParams& p) {
  DecoderConfig c = read_dense_config(p, "llama");
  c.ropes[0].interleaved = p.gguf();
  return c;
}

DecoderConfig read_mistral(const HyperParams& p) {
  DecoderConfig c = read_dense_config(p, "mistral", {.num_kv_heads = 8, .max_position = 131072});
  apply_sliding_window(p, true, c);
  return c;
}

WeightMap llama_weights(const HyperParams& p, const DecoderConfig&) {
  WeightMap map = dense_weight_map(p);
  if (p.gguf()) return map;
  if (p.get_bool({"attention_bias", nullptr}, false)) map.qkv_bias = map.o_bias = Presence::kAlways;
  if (p.get_bool({"mlp_bias", nullptr}, false)) map.mlp_bias = Presence::kAlways;
  return map;
}

WeightMap mistral_weights(const HyperParams& p, const DecoderConfig&) {
  return dense_weight_map(p);
}

}  // namespace

Architecture llama_architecture() {
  return {"llama", {"LlamaForCausalLM", "LlamaModel", "llama"}, {"llama"}, read_llama, llama_weights};
}

Architecture mistral_architecture() {
  return {"mistral", {"MistralForCausalLM", "MistralModel", "mistral"}, {}, read_mistral, mistral_weights};
}

}  // namespace turgo
