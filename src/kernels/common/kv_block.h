// The page of the KV cache. A block holds kKvBlockTokens tokens of one sequence for all layers of its group;
// inside a block, one page per (layer, kv head): first K, then V. A page is written a token at a time and
// read whole. Every kernel (CPU and CUDA) and the session file take the layout from here alone.
//
//   type   K                                         V                                     per token and head
//   f32    [head_dim][64] f32                        [64][head_dim] f32                    8 * head_dim bytes
//   bf16   [head_dim/2][64][2] bf16                  [64/2][head_dim][2] bf16              4 * head_dim
//   i8     [head_dim/4][64][4] u8, scale+zero f32    [64][head_dim] u8, scale+zero f32     2 * head_dim + 16
//   i4, k8v4: 4-bit values in groups of 32 with a scale and zero each (added with the engine's KV types)
#pragma once

#include <cstddef>
#include <cstdint>

namespace turgo {

inline constexpr int kKvBlockTokens = 64;

enum class KvType : uint8_t { kF32, kBF16, kI8, kI4, kK8V4 };

constexpr const char* kv_type_name(KvType t) {
  constexpr const char* kNames[] = {"f32", "bf16", "int8", "int4", "k8v4"};
  return kNames[static_cast<int>(t)];
}

// Geometry of the pages of one layer. Sizes are in bytes and multiples of 64.
struct KvGeometry {
  KvType type = KvType::kBF16;
  int32_t num_kv_heads = 0;  // local heads of this rank
  int32_t head_dim = 0;

  int64_t k_bytes() const;  // K part of one page
  int64_t v_bytes() const;  // V part of one page
  int64_t page_bytes() const { return k_bytes() + v_bytes(); }
  int64_t layer_bytes() const { return page_bytes() * num_kv_heads; }  // one layer's share of a block
};

}  // namespace turgo
