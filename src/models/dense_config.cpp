#include "models/dense_config.h"

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/json.h"

namespace turgo {
namespace {

// A size that must be given unless the architecture has a default.
int32_t size_of(const HyperParams& p, ParamName name, int64_t max, int32_t fallback) {
  return fallback ? p.get_int(name, 1, max, fallback) : p.get_int(name, 1, max);
}

int32_t read_vocab_size(const HyperParams& p, int32_t fallback) {
  if (!p.gguf()) return size_of(p, {"vocab_size", nullptr}, kMaxVocabSize, fallback);
  const RawTensor& embed = p.file().get("token_embd.weight");  // vocab_size is optional in GGUF
  int64_t rows = embed.shape.rank == 2 ? embed.shape[0] : 0;
  if (rows < 1 || rows > kMaxVocabSize)
    fail(ErrorCode::kCorrupt, "{}: token_embd.weight: expected 1 to {} rows, got shape {}",
         quote(p.file().path(), 200), kMaxVocabSize, embed.shape.str());
  if (p.get_int({nullptr, "vocab_size"}, 1, kMaxVocabSize, static_cast<int32_t>(rows)) != rows)
    p.bad({nullptr, "vocab_size"}, fmt::format("{}, the rows of token_embd.weight", rows));
  return static_cast<int32_t>(rows);
}

Activation read_activation(const HyperParams& p) {
  ParamName name{p.has({"hidden_activation", nullptr}) ? "hidden_activation" : "hidden_act", nullptr};
  std::string act = p.get_string(name, "silu");
  if (act == "silu" || act == "swish") return Activation::kSilu;
  if (act == "gelu_pytorch_tanh" || act == "gelu_new") return Activation::kGeluTanh;
  if (act == "gelu") return Activation::kGelu;
  if (act == "relu") return Activation::kRelu;
  fail(ErrorCode::kUnsupported, "{}: {} {} is not known; expected silu, gelu, gelu_pytorch_tanh or relu",
       quote(p.file().path(), 200), name.hf, quote(act));
}

void refuse_experts(const HyperParams& p) {
  for (ParamName name : {ParamName{"num_local_experts", "expert_count"}, ParamName{"num_experts", nullptr}})
    if (p.get_int(name, 0, 1 << 20, 0) > 0)
      fail(ErrorCode::kUnsupported, "{}: mixture-of-experts models are not supported yet",
           quote(p.file().path(), 200));
}

// 0 in a list drops that part of the layer.
void read_layers(const HyperParams& p, const DenseDefaults& d, DecoderConfig& c) {
  const int n = size_of(p, {"num_hidden_layers", "block_count"}, kMaxLayers, d.num_layers);
  ParamName heads_name{"num_attention_heads", "attention.head_count"};
  ParamName kv_name{"num_key_value_heads", "attention.head_count_kv"};
  ParamName width_name{"intermediate_size", "feed_forward_length"};
  ParamName dim_name{"head_dim", "attention.key_length"};
  auto or_default = [&](std::vector<int32_t> v, ParamName name, int32_t fallback, const char* what) {
    if (v.empty() && !fallback) p.bad(name, what);
    if (v.empty()) v.assign(static_cast<size_t>(n), fallback);
    return v;
  };
  auto heads =
      or_default(p.find_per_layer(heads_name, 0, kMaxHeads, n), heads_name, d.num_heads, "a number of heads");
  auto kv = p.find_per_layer(kv_name, 0, kMaxHeads, n);
  if (kv.empty()) kv = d.num_kv_heads ? std::vector<int32_t>(static_cast<size_t>(n), d.num_kv_heads) : heads;
  auto width = or_default(p.find_per_layer(width_name, 0, kMaxIntermediateSize, n), width_name,
                          d.intermediate_size, "a size");
  int32_t head_dim = p.get_int(dim_name, 1, kMaxHeadDim, d.head_dim);
  if (!head_dim) {
    bool uniform = std::all_of(heads.begin(), heads.end(), [&](int32_t h) { return h == heads[0]; });
    if (!uniform) p.bad(dim_name, "a head_dim where layers differ in heads");
    if (heads[0] < 1 || c.hidden_size % heads[0] != 0)
      p.bad(heads_name, fmt::format("a divisor of hidden_size {}", c.hidden_size));
    head_dim = c.hidden_size / heads[0];
  }
  if (head_dim % 2 || head_dim > kMaxHeadDim)
    fail(ErrorCode::kCorrupt, "{}: expected an even head_dim of 2 to {}, got {}", quote(p.file().path(), 200),
         kMaxHeadDim, head_dim);
  if (p.get_int({nullptr, "attention.value_length"}, 1, kMaxHeadDim, head_dim) != head_dim)
    p.bad({nullptr, "attention.value_length"}, fmt::format("{}, as key_length", head_dim));
  bool lists = n > 1 && !std::equal(heads.begin() + 1, heads.end(), heads.begin());
  for (int i = 0; i < n; ++i) {
    auto u = static_cast<size_t>(i);
    LayerConfig layer;
    layer.num_heads = heads[u];
    layer.num_kv_heads = kv[u];
    layer.head_dim = head_dim;
    layer.intermediate_size = width[u];
    if (heads[u] == 0 && lists && kv[u] == 0) {
      layer.attention = AttentionKind::kNone;
    } else if (heads[u] < 1 || kv[u] < 1 || heads[u] % kv[u] != 0) {
      p.bad(kv_name, fmt::format("a divisor of the {} heads of layer {}", heads[u], i));
    }
    if (width[u] == 0) layer.mlp = MlpKind::kNone;
    c.layers.push_back(layer);
  }
}

// config.json, then generation_config.json beside it (chat models often list more ends there).
void read_token_ids(const HyperParams& p, DecoderConfig& c) {
  auto add = [&](const std::vector<int32_t>& ids) {
    for (int32_t id : ids)
      if (id >= 0 && id < c.vocab_size && std::ranges::find(c.eos_token_ids, id) == c.eos_token_ids.end())
        c.eos_token_ids.push_back(id);
  };
  constexpr int64_t kMin = -1;  // some configurations write -1 for none
  if (p.gguf()) {
    const ModelFile& f = p.file();
    for (const char* key :
         {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
      if (auto id = f.find_int(key, kMin, UINT32_MAX); id && *id < c.vocab_size)
        add({static_cast<int32_t>(*id)});
    if (auto id = f.find_int("tokenizer.ggml.bos_token_id", kMin, UINT32_MAX); id && *id < c.vocab_size)
      c.bos_token_id = static_cast<int32_t>(*id);
    return;
  }
  add(p.find_ints({"eos_token_id", nullptr}, kMin, INT32_MAX));
  auto bos = p.find_ints({"bos_token_id", nullptr}, kMin, INT32_MAX);
  if (!bos.empty() && bos[0] < c.vocab_size) c.bos_token_id = bos[0];
  auto path = std::filesystem::path(p.file().folder()) / "generation_config.json";
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return;
  Json generation = parse_json_file(path.string(), size_t{1} << 20);
  if (!generation.is_object() || !generation.contains("eos_token_id")) return;
  const Json& eos = generation["eos_token_id"];
  for (const Json& id : eos.is_array() ? eos : Json::array({eos}))
    if (id.is_number_integer() && id.get<int64_t>() >= 0 && id.get<int64_t>() < c.vocab_size)
      add({id.get<int32_t>()});
}

}  // namespace

DecoderConfig read_dense_config(const HyperParams& p, const char* architecture, const DenseDefaults& d) {
  DecoderConfig c;
  c.architecture = architecture;
  refuse_experts(p);
  c.hidden_size = size_of(p, {"hidden_size", "embedding_length"}, kMaxHiddenSize, d.hidden_size);
  c.vocab_size = read_vocab_size(p, d.vocab_size);
  c.max_position = size_of(p, {"max_position_embeddings", "context_length"}, kMaxPosition,
                           d.max_position ? d.max_position : 2048);
  read_layers(p, d, c);
  ParamName eps{"rms_norm_eps", "attention.layer_norm_rms_epsilon"};
  c.norm_eps = p.get_float(eps, 1e-12, 1, d.norm_eps);
  c.activation = read_activation(p);
  c.tied_embeddings = p.gguf() ? p.file().find("output.weight") == nullptr
                               : p.get_bool({"tie_word_embeddings", nullptr}, d.tied_embeddings);
  c.ropes = {read_rope(p, {d.rope_theta, c.layers[0].head_dim, c.max_position})};
  read_token_ids(p, c);
  return c;
}

void apply_sliding_window(const HyperParams& p, bool all_sliding, DecoderConfig& c) {
  ParamName window_name{"sliding_window", "attention.sliding_window"};
  int32_t window = p.get_int(window_name, 0, kMaxPosition, 0);
  auto types = p.find_strings({"layer_types", nullptr});
  if (!types.empty() && types.size() != c.layers.size())
    p.bad({"layer_types", nullptr}, fmt::format("{} names, one per layer", c.layers.size()));
  for (size_t i = 0; i < c.layers.size(); ++i) {
    bool sliding = types.empty() ? all_sliding && window > 0 : types[i] == "sliding_attention";
    if (!types.empty() && !sliding && types[i] != "full_attention")
      p.bad({"layer_types", nullptr}, "full_attention or sliding_attention");
    if (!sliding || c.layers[i].attention == AttentionKind::kNone) continue;
    if (window < 1) p.bad(window_name, "the window of the sliding layers");
    c.layers[i].attention = AttentionKind::kSliding;
    c.layers[i].sliding_window = window;
  }
}

WeightMap dense_weight_map(const HyperParams& p) {
  using enum WeightRole;
  WeightMap map;
  if (p.gguf()) {
    map.names = {{kEmbedTokens, "token_embd"},
                 {kFinalNorm, "output_norm"},
                 {kInputNorm, "blk.{}.attn_norm"},
                 {kQ, "blk.{}.attn_q"},
                 {kK, "blk.{}.attn_k"},
                 {kV, "blk.{}.attn_v"},
                 {kO, "blk.{}.attn_output"},
                 {kPreMlpNorm, "blk.{}.ffn_norm"},
                 {kGate, "blk.{}.ffn_gate"},
                 {kUp, "blk.{}.ffn_up"},
                 {kDown, "blk.{}.ffn_down"}};
    map.lm_head = "output";
    map.qkv_bias = map.o_bias = map.mlp_bias = Presence::kIfInFile;
    // Rope factors are read with the hyper-parameters; v.* and mm.* are a vision tower and its projector.
    map.skip_prefixes = {"rope_freqs.", "rope_factors_", "v.", "mm."};
    return map;
  }
  map.names = {{kEmbedTokens, "embed_tokens"},
               {kFinalNorm, "norm"},
               {kInputNorm, "layers.{}.input_layernorm"},
               {kQ, "layers.{}.self_attn.q_proj"},
               {kK, "layers.{}.self_attn.k_proj"},
               {kV, "layers.{}.self_attn.v_proj"},
               {kO, "layers.{}.self_attn.o_proj"},
               {kPreMlpNorm, "layers.{}.post_attention_layernorm"},
               {kGate, "layers.{}.mlp.gate_proj"},
               {kUp, "layers.{}.mlp.up_proj"},
               {kDown, "layers.{}.mlp.down_proj"}};
  // A causal model, a bare model, and the text part of the multimodal folders before and after
  // transformers 4.52.
  map.prefix = find_prefix(p.file(), {"model.", "", "language_model.model.", "model.language_model."},
                           "embed_tokens.weight");
  map.lm_head = map.prefix == "language_model.model." ? "language_model.lm_head" : "lm_head";
  map.skip_prefixes = {"vision_tower.",          "model.vision_tower.",          "vision_model.",
                       "multi_modal_projector.", "model.multi_modal_projector.", "visual."};
  map.skip_suffixes = {".rotary_emb.inv_freq"};
  return map;
}

void add_qk_norms(const HyperParams& p, WeightMap& map) {
  using enum WeightRole;
  map.names.push_back({kQNorm, p.gguf() ? "blk.{}.attn_q_norm" : "layers.{}.self_attn.q_norm"});
  map.names.push_back({kKNorm, p.gguf() ? "blk.{}.attn_k_norm" : "layers.{}.self_attn.k_norm"});
}

}  // namespace turgo
