// The page of the KV cache. A block holds kKvBlockTokens tokens of one sequence for all layers of its group;
// inside a block, one page per (layer, kv head): first K, then V. A page is written a token at a time and
// read whole. Every kernel (CPU and CUDA) and the session file take the layout from here alone.
//
//   type   K                                       V                                  per token and head
//   f32    [D][64] f32                             [64][D] f32                        8 D bytes
//   bf16   [D/2][64][2] bf16                       [64/2][D][2] bf16                  4 D
//   int8   [D/4][64][4] u8          | params(1)    [64/4][D][4] u8        | params(1)   2 D + 8
//   int4   [D/8][64][4] nibbles     | params(1)    [64/4][D/2][4] nibbles | params(1)   D + 8
//   k8v4   as int8                                 [64/4][D/2][4] nibbles | params(D/32) 1.5 D + 4 + D/8
//
// D is head_dim (even); a group that head_dim does not fill is padded: K to whole groups of 2/4/8 dimensions,
// V to whole runs of 16 (32 for nibbles). Padded values are zero or ignored.
// params(G) = scale bf16 [G][64], zero bf16 [G][64]: value = zero + scale * u, per token and head (G = 1) or
// per token and 32 dimensions of V. Nibbles: in K, byte b of group g holds dimension 8g + b low and
// 8g + 4 + b high; in V, word w of run r dimension 32r + w low and 32r + 16 + w high, one token a byte.
#pragma once

#include <cstddef>
#include <cstdint>

namespace turgo {

inline constexpr int kKvBlockTokens = 64;
inline constexpr int kKvValueGroup = 32;  // dimensions of V that share a scale and zero in k8v4

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

  // Inside a page.
  int64_t v_columns() const;        // head_dim padded to V's runs
  int64_t k_params_offset() const;  // of K's params from the page's start (quantised types)
  int64_t v_params_offset() const;  // of V's params from the page's start
  int64_t v_groups() const;         // G of V's params
};

// Slow reference: the K and V values [head_dim] that a slot of a page holds. What attention has to see.
void load_kv_token(const KvGeometry& geometry, const std::byte* page, int64_t slot, float* k, float* v);

}  // namespace turgo
