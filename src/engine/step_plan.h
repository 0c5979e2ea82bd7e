// One step of the engine as plain data: what to compute, where its cache is, whose logits are wanted. The
// scheduler emits it, every rank executes it, rank 0 samples. Pointers stay valid until the step is
// completed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/cache_blocks.h"
#include "engine/request.h"
#include "sampling/sampler.h"

namespace turgo {

// Consecutive tokens of one sequence.
struct StepSlice {
  uint64_t sequence_id = 0;
  int32_t first_index = 0;               // cache index and position of the first row
  int32_t num_rows = 0;                  // > 0
  const int32_t* token_ids = nullptr;    // [num_rows]
  const int32_t* block_table = nullptr;  // covers first_index + num_rows tokens
  // The same per window group; blocks that no row of the slice looks at may be -1.
  std::vector<const int32_t*> window_tables;
  const float* embeddings = nullptr;  // rows for the ids < 0 of this slice, in order
  int32_t num_embeddings = 0;
  const Sampler* sampler = nullptr;  // sample from the last row's logits
  int64_t sample_position = 0;       // of the sampled token
  TokenMask* mask = nullptr;
  bool all_logits = false;  // copy every row's logits out instead
  bool as_hidden = false;  // with all_logits: the rows' hidden states behind the final norm, not their logits
};

struct StepPlan {
  std::vector<BlockOp> block_ops;  // in order, before anything is written
  std::vector<StepSlice> slices;
  int32_t num_rows = 0;    // of all slices
  int32_t num_logits = 0;  // rows whose logits are wanted
  // Layered prefill: slices[0] goes through layers [begin, end) in this step, the others, which take no
  // embeddings, through all. The next step goes on with the same rows from `end`, unless `is_last`, or drops
  // them. Only the last step may sample from them.
  struct LayeredSlice {
    int32_t begin = 0, end = 0;
    bool is_last = false;
  };
  std::optional<LayeredSlice> layered;
  // Of the model's layers, the share that a slice goes through.
  double layer_share(size_t slice, int32_t num_layers) const {
    return slice == 0 && layered ? static_cast<double>(layered->end - layered->begin) / num_layers : 1;
  }
  bool is_unfinished(size_t slice) const { return slice == 0 && layered && !layered->is_last; }
  bool empty() const { return slices.empty(); }
};

struct SliceResult {
  SampledToken token;         // with a sampler
  std::vector<float> logits;  // with all_logits: [num_rows][vocab_size], or [hidden_size] as_hidden
};

// results[i] belongs to slices[i].
struct StepResult {
  std::vector<SliceResult> slices;
};

}  // namespace turgo
