// Activations as the GEMM kernels read them: tiles of T tokens (the table's activation_tile), inside a tile
// one record per group of 32 k, so that a kernel walks one pointer. The last tile holds m % T tokens and is
// laid out as if T were that number; every tile starts at a multiple of the full tile's size. k is padded
// with zeros to a multiple of 32. Offsets in bytes, t = tokens of the tile:
//
//   kInt8   [8][t][4] s8 | [t] f32 scale | [t] f32 scale * S | [t] i32 -8 S | [t] i32 -8 S_low     48 t
//           quant = round_to_even(x * (127 / absmax)), scale = absmax / 127; S sums the group's quants,
//           S_low those of its first 16 k. absmax < kTinyAbsmax counts as zero: no denormal scales.
//   kBF16   [16][t][2] bf16 | [t] f32 sum of the first 16 | [t] f32 sum of the last 16             72 t
//           pairs of k as in packed bf16 weights: (0, 2), (1, 3), (4, 6), …
//   kF32    [32][t] f32                                                                            128 t
#pragma once

namespace turgo {

inline constexpr float kTinyAbsmax = 1e-30f;

inline constexpr int kInt8GroupBytes = 48;  // per token and group
inline constexpr int kBF16GroupBytes = 72;
inline constexpr int kF32GroupBytes = 128;

}  // namespace turgo
