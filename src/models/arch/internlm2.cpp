// InternLM2 and 2.5 as published (config.json with auto_map, which is ignored): a Llama whose q, k and v are
// one matrix grouped by kv head, and whose `bias` covers wqkv and wo. Rope scaling is {"type": "dynamic",
// "factor"}.
//   https://huggingface.co/internlm/internlm2-chat-1_8b (config.json, model.safetensors.index.json)
//   Its GGUF form has q, k and v apart, rows permuted for interleaved rope as with Llama.
#include "models/dense_config.h"

namespace turgo {
namespace {

DecoderConfig read_internlm2(const HyperParams& p) {
  DecoderConfig c = read_dense_config(p, "internlm2");
  c.ropes[0].interleaved = p.gguf();
  return c;
}

WeightMap internlm2_weights(const HyperParams& p, const DecoderConfig&) {
  using enum WeightRole;
  if (p.gguf()) return dense_weight_map(p);
  WeightMap map;
  map.names = {{kEmbedTokens, "tok_embeddings"},         {kFinalNorm, "norm"},
               {kInputNorm, "layers.{}.attention_norm"}, {kGroupedQkv, "layers.{}.attention.wqkv"},
               {kO, "layers.{}.attention.wo"},           {kPreMlpNorm, "layers.{}.ffn_norm"},
               {kGate, "layers.{}.feed_forward.w1"},     {kUp, "layers.{}.feed_forward.w3"},
               {kDown, "layers.{}.feed_forward.w2"}};
  map.prefix = find_prefix(p.file(), {"model.", ""}, "tok_embeddings.weight");
  map.lm_head = "output";
  map.skip_suffixes = {".rotary_emb.inv_freq"};
  if (p.get_bool({"bias", nullptr}, true)) map.qkv_bias = map.o_bias = Presence::kAlways;
  return map;
}

}  // namespace

Architecture internlm2_architecture() {
  return {"internlm2",
          {"InternLM2ForCausalLM", "InternLM2Model", "internlm2"},
          {"internlm2"},
          read_internlm2,
          internlm2_weights};
}

}  // namespace turgo
