// Everything the CPU back end computes, as one table of plain functions. Each ISA file (scalar, avx2,
// avxvnni, avx512, amx, neon) exports one KernelTable; select.cpp picks one at start by CPUID (TURGO_ISA=name
// forces one). Kernels never throw, allocate nothing and know no threads: callers give each thread its
// panels, tokens or heads.
//
// Batch invariance (a law, tested bit for bit): the result for one token does not depend on m, on the other
// tokens, or on how panels and tokens are split over threads. Inside a group of 32 sums are int32; across
// groups f32 in k order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "kernels/common/kv_block.h"
#include "kernels/common/packed_weight.h"

namespace turgo {

enum class Activation : uint8_t { kSilu, kGeluTanh, kGelu, kRelu };

// y[t][j] (+)= sum_k x[t][k] * w[j][k] (+ bias[j]) for all m tokens and the rows of the given panels.
struct GemmArgs {
  PackedWeight weight;
  Precision precision = Precision::kInt8;
  const std::byte* activations = nullptr;  // from pack_activations with the same precision, m and k
  int64_t m = 0;
  int64_t panel_begin = 0, panel_end = 0;
  float* y = nullptr;  // [m][y_stride]; column 0 is the weight's row 0
  int64_t y_stride = 0;
  const float* bias = nullptr;  // [n]
  bool accumulate = false;      // add to y: the residual stream
};

// Attention's sums start afresh at every kAttentionSegment keys (absolute indices) and merge in order,
// always: so that a long sequence can be split over threads without a change of bits.
inline constexpr int32_t kAttentionSegment = 512;

// One sequence, some kv heads, a run of consecutive queries: out = softmax(scale * q K^T) V over the pages as
// stored. Keys are walked page by page in absolute order with one online-softmax rescale per page. Several
// kv heads go through the blocks together: their pages lie side by side, and memory answers one long run
// twice as fast as short ones.
struct AttentionArgs {
  KvGeometry kv;
  const std::byte* pool = nullptr;  // block b starts at pool + b * block_bytes
  int64_t block_bytes = 0;
  int64_t page_offset = 0;               // of this (layer, first kv head) inside a block
  const int32_t* block_table = nullptr;  // block ids of the sequence, [ceil(tokens / 64)]
  const float* q = nullptr;  // [num_queries][q_stride], heads side by side: [num_kv_heads][group][head_dim]
  int64_t q_stride = 0;
  float* out = nullptr;  // as q, with out_stride
  int64_t out_stride = 0;
  int32_t num_queries = 0;
  int32_t num_kv_heads = 1;       // that this call walks, of kv.num_kv_heads
  int32_t group = 0;              // query heads that share a kv head
  int32_t first_index = 0;        // cache index of query 0; query i sees keys 0 … first_index + i
  int32_t window = 0;             // > 0: only the last `window` keys, itself included
  float scale = 0, soft_cap = 0;  // soft_cap > 0: cap * tanh(s / cap)
  const float* sinks = nullptr;   // [num_kv_heads][group] logits that join the softmax and have no value
  const float* alibi_slopes = nullptr;  // [num_kv_heads][group]
  const int32_t* last_visible =
      nullptr;  // [num_queries] span mask: cache index of the last key each query sees
  const uint64_t* tree_mask =
      nullptr;  // [num_queries] bit j: query sees the key of query j (num_queries <= 64)

  // Split over the keys, when `partial` is given: attention() leaves the sums of segments [segment_begin,
  // segment_end) there and does not touch `out`; attention_merge() of all segments then writes `out`, with
  // the bits of an unsplit call. Segments in front of every query's window may be left out.
  float* partial = nullptr;  // [num_kv_heads * num_queries * group][num_segments]
                             // [attention_record_floats(kv)], 64-byte aligned
  int32_t num_segments = 0;  // ceil((index of the last visible key + 1) / kAttentionSegment)
  int32_t segment_begin = 0, segment_end = 0;
};

// Floats of one row's sums over one segment.
inline int64_t attention_record_floats(const KvGeometry& kv) {
  return 16 + kv.v_columns();
}

struct KernelTable {
  const char* isa;

  // --- linear ---
  // Tokens per activation tile; threads split the packing of m tokens on tile bounds.
  int64_t (*activation_tile)(Precision);
  int64_t (*activation_bytes)(Precision, int64_t m, int64_t k);
  // x [m][x_stride] f32 -> packed activations, tiles [tile_begin, tile_end) of ceil(m / tile).
  void (*pack_activations)(Precision, const float* x, int64_t x_stride, int64_t m, int64_t k,
                           int64_t tile_begin, int64_t tile_end, std::byte* dst);
  void (*gemm)(const GemmArgs&);

  // --- rows ---
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* y);  // y may be x
  void (*gated_activation)(Activation, const float* gate, const float* up, int64_t n, float* y);
  void (*add)(const float* x, int64_t n, float* y);  // y += x
  void (*scale)(float factor, int64_t n, float* y);  // y *= factor
  void (*soft_cap)(float cap, int64_t n, float* y);  // y = cap * tanh(y / cap)

  // --- attention ---
  // One head in place. cos_sin: [rotary_dim / 2][2]. Half-split (Hugging Face: i with i + rotary_dim / 2) or
  // interleaved (2i with 2i + 1) pairs; dimensions past rotary_dim stay.
  void (*rope)(const float* cos_sin, int64_t rotary_dim, bool interleaved, float* head);
  // Writes one token's K and V [head_dim] into slot [0, 64) of a page.
  void (*kv_store)(const KvGeometry&, const float* k, const float* v, int64_t slot, std::byte* page);
  void (*attention)(const AttentionArgs&);
  void (*attention_merge)(const AttentionArgs&);
};

// The best table for this CPU, or the one that TURGO_ISA names; nullptr if that name is unknown or the CPU
// lacks it. `requested` may be null.
const KernelTable* select_kernels(const char* requested);

// Every table that this CPU can run, scalar first: what tests iterate over. Ends with nullptr.
const KernelTable* const* usable_kernel_tables();

// Why a table that this CPU should run is not among them: it failed its self check. nullptr: none did.
const char* kernel_warning();

}  // namespace turgo
