// Tensor names of a file -> roles in the decoder. An architecture gives a short table of names; expand()
// turns it into one TensorSpec per tensor that the file must hold, with its shape, how tensor parallelism
// cuts it, and the group in which structured pruning removes rows or columns together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "io/model_file.h"
#include "models/decoder_config.h"
#include "ops/linear_weight.h"

namespace turgo {

enum class WeightRole : uint8_t {
  kEmbedTokens,
  kFinalNorm,
  kLmHead,
  kInputNorm,
  kPostAttentionNorm,  // after attention, before the residual sum (Gemma); not Llama's tensor of that name
  kPreMlpNorm,
  kPostMlpNorm,
  kQNorm,
  kKNorm,
  kQ,
  kK,
  kV,
  kGroupedQkv,  // InternLM2's wqkv: rows [num_kv_heads][group + 2][head_dim], the last two of a group are k
                // and v
  kO,
  kGate,
  kUp,
  kDown,
};

// What is removed together: a hidden dimension everywhere, a kv head with its query heads, an MLP neuron.
enum class PruneGroup : uint8_t { kNone, kHidden, kKvGroup, kIntermediate };

enum class Presence : uint8_t { kNever, kAlways, kIfInFile };

struct WeightName {
  WeightRole role;
  const char* name;  // without prefix and ".weight"; {} is the layer's number
};

struct WeightMap {
  std::string prefix;             // of all names but the head's, e.g. "model."
  std::vector<WeightName> names;  // roles that are absent here do not exist in the model
  std::string lm_head;            // whole name without ".weight"; unused where the head is tied
  Presence qkv_bias = Presence::kNever, o_bias = Presence::kNever, mlp_bias = Presence::kNever;
  // Tensors of parts that are not built (vision tower, projector) or not needed (tables that are recomputed):
  // a name is skipped if it starts with one of the first or ends with one of the second.
  std::vector<std::string> skip_prefixes, skip_suffixes;
};

struct TensorSpec {
  WeightRole role;
  int layer = -1;  // -1: not part of a layer
  std::string name;
  Shape shape;  // {n, k}, or {n} for norms and biases
  bool bias = false;
  Shard shard = Shard::kNone;
  PruneGroup rows = PruneGroup::kNone, columns = PruneGroup::kNone;
};

// Every tensor that the model needs, in the order of the forward pass.
std::vector<TensorSpec> expand(const WeightMap& map, const DecoderConfig& config, const ModelFile& file);

// Compares the file with the specs. Throws Error{kCorrupt} that names missing and wrong-shape tensors and
// Error{kUnsupported} that names tensors nobody asked for; returns the names that were skipped on purpose.
std::vector<std::string> check_tensors(const WeightMap& map, const DecoderConfig& config,
                                       const std::vector<TensorSpec>& specs, const ModelFile& file);

// The first of `prefixes` under which `name` is in the file; the first of all if none is.
std::string find_prefix(const ModelFile& file, const std::vector<std::string>& prefixes,
                        const std::string& name);

}  // namespace turgo
