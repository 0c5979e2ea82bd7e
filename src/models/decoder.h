// The one decoder: a DecoderConfig, its weights, and the forward pass written against ops::Executor.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "models/decoder_config.h"
#include "ops/executor.h"

namespace turgo {

struct LayerWeights {
  NormWeight input_norm, post_attention_norm, pre_mlp_norm,
      post_mlp_norm;  // the post norms only where the config says
  NormWeight q_norm, k_norm;
  LinearWeight qkv, o_proj, gate_up, down_proj;
  const float* sinks = nullptr;  // [num_heads]
};

struct DecoderWeights {
  LinearWeight embed_tokens;  // {vocab_size, hidden_size}
  std::vector<LayerWeights> layers;
  NormWeight final_norm;
  LinearWeight lm_head;                             // shares embed_tokens' data when tied
  std::vector<std::shared_ptr<const void>> owners;  // buffers behind norms and biases
  int64_t weight_bytes = 0;                         // resident bytes of all weights
};

// The layers that share one kind of cache: one block table per group. Group 0 is paged and keeps the whole
// context; each sliding window that is shorter than the context is a group of its own, whose old pages are
// given up. A model whose layers all slide has the paged group alone: prefix keys hang on it.
struct CacheSpec {
  enum class Kind : uint8_t { kPaged, kWindow, kLatent, kRecurrent };
  Kind kind = Kind::kPaged;
  std::vector<int32_t> layers;        // indices into DecoderConfig::layers
  std::vector<KvGeometry> geometry;   // per entry of `layers`
  std::vector<int64_t> layer_offset;  // bytes inside a block, per entry of `layers`
  int64_t block_bytes = 0;            // of one block of kKvBlockTokens tokens, all layers of the group
  int32_t window = 0;
};
// session_len: windows that are not shorter are no groups of their own.
std::vector<CacheSpec> make_cache_specs(const DecoderConfig& config, KvType type,
                                        int32_t session_len = INT32_MAX);

// One step's input. Everything is executor memory and lives until synchronize().
struct StepInput {
  int32_t num_rows = 0;
  const int32_t* token_ids = nullptr;  // [num_rows]; < 0 takes the next row of `embeddings`
  TensorView embeddings;               // {rows with id < 0, hidden_size} f32, or null
  const int32_t* positions = nullptr;  // [num_rows][num_axes]
  int32_t num_axes = 1;
  std::span<const std::vector<SequenceRows>> sequences;  // one list per CacheSpec
  std::span<std::byte* const> pools;                     // KV pool per CacheSpec
  std::span<const int32_t> logits_rows;                  // ascending
  // Layered prefill: the first rows, whole sequences, go through layers [begin, end) alone; all others, which
  // take no embeddings, through all layers. After a step with end < num_layers the next forward() has to go
  // on with the same rows from `end`, or to begin anew: their hidden states wait in the workspace. Their
  // logits may be asked for in the last such step.
  struct LayeredRows {
    int32_t num_rows = 0, begin = 0, end = 0;
  } layered;
};

class Decoder {
 public:
  // session_len bounds positions and picks length-dependent rope scalings once. max_rows bounds num_rows of a
  // step.
  Decoder(DecoderConfig config, DecoderWeights weights, std::shared_ptr<Executor> executor, KvType kv_type,
          int32_t session_len, int32_t max_rows);

  // logits: {logits_rows.size(), vocab_size} f32 in executor memory. Asynchronous: see Executor.
  void forward(const StepInput& input, TensorView logits);

  // The parts, for calibration, pipelines over layers and hidden states. `hidden` is {num_rows, hidden_size}
  // f32.
  void embed(const StepInput& input, TensorView hidden);
  void forward_layers(int begin, int end, const StepInput& input, TensorView hidden);
  void logits(const StepInput& input, TensorView hidden, TensorView logits);
  // Of the last forward(): rows [begin, begin + out.rows) behind the final norm. out: {rows, hidden_size}
  // f32.
  void final_hidden(int64_t begin, TensorView out);

  const DecoderConfig& config() const { return config_; }
  const DecoderWeights& weights() const { return weights_; }
  const std::vector<CacheSpec>& cache_specs() const { return cache_specs_; }
  Executor& executor() const { return *executor_; }
  int32_t session_len() const { return session_len_; }
  int32_t max_rows() const { return max_rows_; }

 private:
  void attention_block(int layer, const StepInput& input, TensorView hidden);
  void mlp_block(int layer, const StepInput& input, TensorView hidden);
  StepInput without_layered(const StepInput& input);

  DecoderConfig config_;
  DecoderWeights weights_;
  std::shared_ptr<Executor> executor_;
  std::vector<CacheSpec> cache_specs_;
  std::vector<int32_t> cache_group_, cache_entry_;  // per layer: CacheSpec and place in it
  std::vector<RopeTable> ropes_;
  std::vector<std::shared_ptr<void>> buffers_;
  TensorView hidden_, q_, attention_, mlp_;        // workspace, max_rows rows
  StepInput::LayeredRows waiting_;                 // in the first rows of hidden_
  std::vector<std::vector<SequenceRows>> others_;  // of a step with layered rows: the sequences behind them
  int32_t session_len_, max_rows_;
};

}  // namespace turgo
