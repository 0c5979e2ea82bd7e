// The coarse verbs a model may call. The forward pass is written once against this interface; executors
// differ in what a verb does: run it now on the CPU team (eager), enqueue it on a device, watch the inputs of
// linears (observing), or record it for a backward pass (tape). Rules:
//  - Verbs take device-neutral views and plain values and return nothing to the host. Pointers in arguments
//  stay valid
//    and unchanged until synchronize(): an executor may run a verb later, or replay a captured step.
//  - Activations are f32 matrices {rows, features}. Outputs never overlap inputs unless a verb says so.
//  - An executor may run a fused verb as its unfused parts; the numbers must then be the same bits on the
//  CPU.
//  - A shape error is our fault (CHECK): files and requests were checked before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "core/tensor.h"
#include "kernels/common/kv_block.h"
#include "kernels/cpu/kernel_table.h"
#include "ops/linear_weight.h"

namespace turgo {

struct NormWeight {
  const float* weight = nullptr;  // [n]; nullptr = no norm (the row is used as it is)
  float eps = 1e-5f;
  explicit operator bool() const { return weight != nullptr; }
};

// Rows of one sequence in this step, and where its cache is. Index = place in the cache; position = what rope
// sees.
struct SequenceRows {
  int32_t row_begin = 0, num_rows = 0;
  int32_t first_index = 0;  // cache index of the first row
  const int32_t* block_table =
      nullptr;  // block ids, covers first_index + num_rows tokens; per KvGroup see KvCache
  const int32_t* last_visible = nullptr;  // [num_rows] or null: span mask (AttentionArgs)
  const uint64_t* tree_mask = nullptr;    // [num_rows] or null; at most 32 rows (DraftTree)
  int32_t adapter = -1;
};

// The pool of KV blocks as a layer sees it.
struct KvLayerView {
  std::byte* pool = nullptr;
  int64_t block_bytes = 0;
  int64_t layer_offset = 0;  // of this layer inside a block
  KvGeometry geometry;
};

struct RopeTable {
  const float* cos_sin = nullptr;  // [max_positions][rotary_dim / 2][2]
  int32_t rotary_dim = 0;
  int32_t max_positions = 0;
  bool interleaved = false;
  // M-RoPE: pair i takes its position from axis[i] of the row's positions; null = axis 0.
  const uint8_t* axis = nullptr;
};

struct EmbedArgs {
  const LinearWeight* table = nullptr;  // {vocab_size, hidden_size}
  const int32_t* token_ids = nullptr;   // [rows]; an id < 0 takes the next row of `embeddings`
  TensorView embeddings;                // {rows with id < 0, hidden_size} f32, or null
  float scale = 1;                      // of table rows only
  TensorView hidden;                    // out {rows, hidden_size}
};

// q = rope(norm?(Wq x)), K and V go into the cache. The qkv matrix holds q | k | v rows in this order.
struct QkvArgs {
  TensorView hidden;  // {rows, hidden_size}
  NormWeight norm;
  const LinearWeight* qkv = nullptr;
  NormWeight q_norm, k_norm;           // per head [head_dim], or none
  RopeTable rope;                      // cos_sin null: no rope
  const int32_t* positions = nullptr;  // [rows][num_axes]
  int32_t num_axes = 1;
  int32_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  float clip = 0;  // > 0: clamp q, k, v to [-clip, clip]
  std::span<const SequenceRows> sequences;
  KvLayerView kv;
  TensorView q;  // out {rows, num_heads * head_dim}
};

struct AttendArgs {
  TensorView q;  // {rows, num_heads * head_dim}
  int32_t num_heads = 0, num_kv_heads = 0, head_dim = 0;
  float scale = 0, soft_cap = 0;
  int32_t window = 0;
  const float* sinks = nullptr;         // [num_heads]
  const float* alibi_slopes = nullptr;  // [num_heads]
  std::span<const SequenceRows> sequences;
  KvLayerView kv;
  TensorView out;  // {rows, num_heads * head_dim}
};

// hidden += post_norm(W x). With tensor parallelism the executor sums the partial products over the ranks
// first.
struct ProjectArgs {
  TensorView x;
  const LinearWeight* weight = nullptr;
  NormWeight post_norm;
  float residual_scale = 1;  // of the added branch
  TensorView hidden;         // in and out
};

// out = act(gate) * up of norm(hidden); the matrix holds gate | up rows. Without up (n == intermediate_size):
// act(gate).
struct GateUpArgs {
  TensorView hidden;
  NormWeight norm;
  const LinearWeight* gate_up = nullptr;
  Activation activation = Activation::kSilu;
  TensorView out;  // {rows, intermediate_size}
};

struct LogitsArgs {
  TensorView hidden;              // {rows, hidden_size}
  std::span<const int32_t> rows;  // which rows want logits, ascending
  NormWeight norm;
  const LinearWeight* head = nullptr;
  float scale = 1, soft_cap = 0;
  TensorView logits;  // out {rows.size(), vocab_size}; null on a rank that only takes part
};

class Executor {
 public:
  virtual ~Executor() = default;

  // Executor memory, 64-byte aligned, zeroed when fresh. Freed when the pointer dies.
  virtual std::shared_ptr<void> allocate(int64_t size_bytes) = 0;

  virtual void embed(const EmbedArgs&) = 0;
  virtual void qkv(const QkvArgs&) = 0;
  virtual void attend(const AttendArgs&) = 0;
  virtual void project(const ProjectArgs&) = 0;
  virtual void gate_up(const GateUpArgs&) = 0;
  virtual void logits(const LogitsArgs&) = 0;

  // Unfused parts, for encoders, calibration and training.
  virtual void rms_norm(TensorView x, NormWeight norm, TensorView y) = 0;
  virtual void linear(TensorView x, const LinearWeight& weight, TensorView y) = 0;

  // Tensor parallelism: sums x over the ranks; concatenates columns of the ranks.
  virtual void all_reduce(TensorView x) = 0;
  virtual void all_gather(TensorView local, TensorView full) = 0;

  // Host work in stream order: f(i) for i in [0, n) on the compute team (sampling). f must not throw.
  virtual void host_phase(int64_t n, std::function<void(int64_t)> f) = 0;

  // Returns when everything enqueued so far is done.
  virtual void synchronize() = 0;
};

}  // namespace turgo
