// NEON: integer weights x int8 activations by sdot, up to 4 tokens a tile. One 16-byte load brings a word of
// all tokens, of which sdot takes one lane. One or two tokens take 16 rows in a pass, three or four 8, so
// that the integer sums stay in registers. Quants of up to 7 bits are signed bytes as they stand, their
// offset is the sums' initial value; bytes (Q8_0, stored + 128) become signed by flipping the top bit, and
// have no offset left.
#pragma once

#include "kernels/cpu/quants_neon.h"

namespace turgo::neon {
namespace {

constexpr int kInt8Tile = 4;

template <DType D>
constexpr int sum_offset() {
  return quant_format(D).low_bits == 8 ? 0 : quant_format(D).offset;
}

// acc[t][v] += dot of word kWord of every row with every token's quants.
template <DType D, int T, int V, int kWord>
[[gnu::always_inline]] inline void dot_word(const uint8_t* group, const uint8_t* record, int first_part,
                                            int32x4_t (&acc)[T][V]) {
  // Reads past the words of fewer than 4 tokens, into the record's scales.
  int8x16_t a = vreinterpretq_s8_u8(vld1q_u8(record + kWord * T * 4));
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    uint8x16_t x = quants<D, kWord>(group, first_part + v);
    if constexpr (quant_format(D).low_bits == 8) x = veorq_u8(x, vdupq_n_u8(0x80));
    int8x16_t w = vreinterpretq_s8_u8(x);
    acc[0][v] = vdotq_laneq_s32(acc[0][v], w, a, 0);
    if constexpr (T > 1) acc[1][v] = vdotq_laneq_s32(acc[1][v], w, a, 1);
    if constexpr (T > 2) acc[2][v] = vdotq_laneq_s32(acc[2][v], w, a, 2);
    if constexpr (T > 3) acc[3][v] = vdotq_laneq_s32(acc[3][v], w, a, 3);
  }
}

// One group, or with sub-scales per 16 k one half of it (kHalf 0, 1), added to the f32 sums.
template <DType D, int T, int V, int kHalf>
[[gnu::always_inline]] inline void add_part(const uint8_t* block, const uint8_t* group, const uint8_t* record,
                                            int first_part, float32x4_t (&sums)[T][V]) {
  constexpr QuantFormat f = quant_format(D);
  const auto* scales = reinterpret_cast<const float*>(record + 32 * T);
  const auto* offsets = reinterpret_cast<const int32_t*>(record + 40 * T);
  int32_t minus_sum[T];
  int32x4_t acc[T][V];
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
    int32_t low = offsets[T + t], all = offsets[t];
    minus_sum[t] = !f.half_scales ? all : kHalf == 0 ? low : all - low;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) acc[t][v] = vdupq_n_s32(minus_sum[t] / 8 * sum_offset<D>());
  }
  if constexpr (!f.half_scales || kHalf == 0) {
    dot_word<D, T, V, 0>(group, record, first_part, acc);
    dot_word<D, T, V, 1>(group, record, first_part, acc);
    dot_word<D, T, V, 2>(group, record, first_part, acc);
    dot_word<D, T, V, 3>(group, record, first_part, acc);
  }
  if constexpr (!f.half_scales || kHalf == 1) {
    dot_word<D, T, V, 4>(group, record, first_part, acc);
    dot_word<D, T, V, 5>(group, record, first_part, acc);
    dot_word<D, T, V, 6>(group, record, first_part, acc);
    dot_word<D, T, V, 7>(group, record, first_part, acc);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    Scales s = load_scales<D>(block, group, first_part + v);
#pragma GCC unroll 4
    for (int t = 0; t < T; ++t) {
      float32x4_t scale = vmulq_n_f32(s.scale[kHalf], scales[t]);
      sums[t][v] = vfmaq_f32(sums[t][v], vcvtq_f32_s32(acc[t][v]), scale);
      if constexpr (f.has_min && f.half_scales) {
        float x = static_cast<float>(minus_sum[t]) * 0.125f * scales[t];
        sums[t][v] = vfmaq_n_f32(sums[t][v], s.min[kHalf], x);
      } else if constexpr (f.has_min) {
        sums[t][v] = vfmsq_n_f32(sums[t][v], s.min[0], scales[T + t]);
      }
    }
  }
}

template <DType D, int T, int V>
[[gnu::always_inline]] inline void pass_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups,
                                             int first_part, Sums& out) {
  float32x4_t sums[T][V];
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[t][v] = vdupq_n_f32(0);
  }
  for_groups<D>(panel, groups,
                [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
                  const uint8_t* record = tile + g * kInt8GroupBytes * T;
                  add_part<D, T, V, 0>(block, group, record, first_part, sums);
                  if constexpr (quant_format(D).half_scales)
                    add_part<D, T, V, 1>(block, group, record, first_part, sums);
                });
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) vst1q_f32(out.at[t] + 4 * (first_part + v), sums[t][v]);
  }
}

template <DType D, int T>
void tile_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr int V = T <= 2 ? 4 : 2;
  Sums sums;
  for (int part = 0; part < kParts; part += V) pass_int8<D, T, V>(panel, tile, groups, part, sums);
  store_tile(sums, T, out);
}

template <DType D>
void gemm_int8(const GemmArgs& a) {
  static constexpr TileKernel kKernels[kInt8Tile] = {tile_int8<D, 1>, tile_int8<D, 2>, tile_int8<D, 3>,
                                                     tile_int8<D, 4>};
  run_tile_kernels(a, kInt8Tile, kKernels);
}

}  // namespace
}  // namespace turgo::neon
