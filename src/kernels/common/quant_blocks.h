// The block types of GGUF exactly as they lie in a file, and a few of our own, with slow reference
// conversions. A row of n elements is n / block_size blocks back to back; d and m are scale and offset in
// f16, q is a small integer. Results are bit-equal in f32 to the `gguf` Python package
// (tests/e2e/test_quant_oracle.py): no fused multiply-add, and the order of operations written here. Drawings
// show bytes left to right, and bits with the high one left.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace turgo {

inline constexpr int kSuper = 256;  // elements of a K block

// Blocks of 32. A nibble byte i holds element i below and element i + 16 above:
//   qs[i] = | q(i+16) : 4 | q(i) : 4 |
// x = d (q - 8)
struct BlockQ4_0 {
  f16 d;
  uint8_t qs[16];
};
// x = d q + m
struct BlockQ4_1 {
  f16 d, m;
  uint8_t qs[16];
};
// As Q4_0 with a fifth bit: bit i of the little-endian 32-bit number qh is bit 4 of q(i).
// x = d (q - 16)
struct BlockQ5_0 {
  f16 d;
  uint8_t qh[4];
  uint8_t qs[16];
};
// x = d q + m
struct BlockQ5_1 {
  f16 d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};
// x = d q
struct BlockQ8_0 {
  f16 d;
  int8_t qs[32];
};

// K blocks: 256 elements with one (two) f16 for the block and small integer scales for its sub-blocks.
//
// Q2_K: 16 sub-blocks of 16; x = (d sc) q - dmin mn
//   scales[s] = | mn(s) : 4 | sc(s) : 4 |
//   qs: two halves of 128 elements, 32 bytes each; in a half, byte l holds elements l, l+32, l+64, l+96:
//   qs[32 h + l] = | q(l+96) : 2 | q(l+64) : 2 | q(l+32) : 2 | q(l) : 2 |
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  f16 d, dmin;
};
// Q3_K: 16 sub-blocks of 16; x = (d (sc - 32)) (q - 4), q of three bits: two in qs (as Q2_K), the third in
//   hmask: bit j of hmask[l] belongs to element 32 j + l.
//   scales: sixteen 6-bit numbers; low nibbles in bytes 0…7 (s below, s + 8 above), high pairs in bytes 8…11:
//   scales[i]     = | sc(i+8) & 15 : 4 | sc(i) & 15 : 4 |                            i = 0…7
//   scales[8 + j] = | sc(j+12) >> 4 : 2 | sc(j+8) >> 4 : 2 | sc(j+4) >> 4 : 2 | sc(j) >> 4 : 2 |   j = 0…3
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  f16 d;
};
// Q4_K: 8 sub-blocks of 32; x = (d sc) q - (dmin mn), sc and mn of six bits in 12 bytes:
//   scales[j]     = | sc(j+4) >> 4 : 2 | sc(j) : 6 |           j = 0…3
//   scales[4 + j] = | mn(j+4) >> 4 : 2 | mn(j) : 6 |
//   scales[8 + j] = | mn(j+4) & 15 : 4 | sc(j+4) & 15 : 4 |
//   qs: 4 chunks of 32 bytes for 64 elements each: qs[32 c + l] = | q(64 c + 32 + l) : 4 | q(64 c + l) : 4 |
struct BlockQ4_K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};
// Q5_K: as Q4_K with a fifth bit: bit j of qh[l] is bit 4 of q(32 j + l).
struct BlockQ5_K {
  f16 d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};
// Q6_K: 16 sub-blocks of 16 with int8 scales; x = (d sc) (q - 32), q of six bits. In each half h of 128
// elements:
//   ql[64 h + l]      = | q(l+64) & 15 : 4 | q(l) & 15 : 4 |        l = 0…31
//   ql[64 h + 32 + l] = | q(l+96) & 15 : 4 | q(l+32) & 15 : 4 |
//   qh[32 h + l]      = | q(l+96) >> 4 : 2 | q(l+64) >> 4 : 2 | q(l+32) >> 4 : 2 | q(l) >> 4 : 2 |
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  f16 d;
};

// What AWQ, GPTQ and compressed-tensors files hold, gathered per row (io/packed_linear.h): a scale and an
// integer zero point for each kSize elements. d q, d z and their difference are exact in f32.
//   x = d (q - z);  qs in runs of 32 elements as in Q4_0
template <int kSize>
struct BlockW4 {
  f16 d, z;
  uint8_t qs[kSize / 2];
};
// Three bits: two in qs (element 4 i + j in bits 2 j … of qs[i]), the third of element i in bit i of qh.
struct BlockW3 {
  f16 d, z;
  uint8_t qs[8];
  uint8_t qh[4];
};
struct BlockW2 {
  f16 d, z;
  uint8_t qs[8];
};
// x = d q; the scale of a whole row in f32, repeated
struct BlockW8 {
  float d;
  int8_t qs[64];
};
// x = d q; the scale of a row, a tensor or a block of 128 x 128
struct BlockF8 {
  float d;
  e4m3 qs[64];
};

static_assert(sizeof(BlockW4<32>) == 20 && sizeof(BlockW4<64>) == 36 && sizeof(BlockW4<128>) == 68 &&
              sizeof(BlockW3) == 16 && sizeof(BlockW2) == 12 && sizeof(BlockW8) == 68 &&
              sizeof(BlockF8) == 68);
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 &&
              sizeof(BlockQ5_1) == 24 && sizeof(BlockQ8_0) == 34 && sizeof(BlockQ2_K) == 84 &&
              sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 &&
              sizeof(BlockQ6_K) == 210);

// The 6-bit scales (sc) and offsets (mn) of the 8 sub-blocks of a Q4_K or Q5_K block.
void unpack_k4_scales(const uint8_t scales[12], uint8_t sc[8], uint8_t mn[8]);
// The 16 scales of a Q3_K block, already minus 32.
void unpack_q3_k_scales(const uint8_t scales[12], int8_t sc[16]);

// `n` elements (a multiple of the type's block size) from `src`, which may be unaligned, to f32. Exact for
// f32, f16, bf16, e4m3 and the 8-bit integers; i32 and i64 are rounded to f32.
void dequantize_row(DType dtype, const void* src, float* dst, int64_t n);

// True for the types that quantize_row can write: f32, f16, bf16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0.
bool can_quantize(DType dtype);

// Plain round to nearest, no search: the scale comes from the block's extreme (Q*_0: the element of largest
// magnitude maps to the end of the range that has one step more; Q*_1: minimum to 0, maximum to the top). NaN
// in gives an unspecified block; infinities too. Requires can_quantize(dtype); dst may be unaligned.
void quantize_row(DType dtype, const float* src, void* dst, int64_t n);

}  // namespace turgo
