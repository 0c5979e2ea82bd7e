// What most dense decoders share: reading the sizes, and the tensor names of Hugging Face's Llama and of
// GGUF.
#pragma once

#include "models/architecture.h"
#include "models/rope_params.h"

namespace turgo {

// Values that published files of an architecture leave out; 0 = must be given.
struct DenseDefaults {
  int32_t vocab_size = 0, hidden_size = 0, num_layers = 0, num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int32_t intermediate_size = 0, max_position = 0;
  float norm_eps = 1e-6f, rope_theta = 10000;
  bool tied_embeddings = false;
};

// Sizes, layers (every per-layer list is accepted), norm_eps, activation, token ids and one rope for all
// layers.
DecoderConfig read_dense_config(const HyperParams& params, const char* architecture,
                                const DenseDefaults& defaults = {});

// Layer kinds from `layer_types`, or all layers sliding if `all_sliding`; the window of `sliding_window`.
void apply_sliding_window(const HyperParams& params, bool all_sliding, DecoderConfig& config);

// Names of Hugging Face's LlamaForCausalLM, or of GGUF. Biases: GGUF files decide by what they hold.
WeightMap dense_weight_map(const HyperParams& params);

// Adds the norms of every head of q and k.
void add_qk_norms(const HyperParams& params, WeightMap& map);

}  // namespace turgo
