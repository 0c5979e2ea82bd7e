// NEON: bf16 and f32 activations, up to 6 tokens a tile, all by f32 FMA. A group's weights go through a
// buffer [32 k][32 rows] f32 in L1 — exact weights, or for integer weights x bf16 the exact quants, whose
// group sum is then scaled — and bf16 activations are widened to [32 k][tokens].
#pragma once

#include "kernels/cpu/quants_neon.h"

namespace turgo::neon {
namespace {

constexpr int kFloatTile = kMaxTile;
constexpr int kPassRows = 16;  // 4 vectors x 6 tokens of sums

// acc += rows kPassRows * pass … of w [32 k][32 rows] times x [32 k][T], k in [first, last).
template <int T>
[[gnu::always_inline]] inline void fma_pass(const float* w, const float* x, int pass, int first, int last,
                                            float32x4_t (&acc)[T][4]) {
  for (int k = first; k < last; ++k) {
    float32x4_t row[4];
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) row[v] = vld1q_f32(w + k * kPanelRows + kPassRows * pass + 4 * v);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) acc[t][v] = vfmaq_n_f32(acc[t][v], row[v], x[k * T + t]);
    }
  }
}

template <int T>
void fma_group(const float* w, const float* x, Sums& sums) {
  for (int pass = 0; pass < 2; ++pass) {
    float32x4_t acc[T][4];
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) acc[t][v] = vld1q_f32(sums.at[t] + kPassRows * pass + 4 * v);
    }
    fma_pass<T>(w, x, pass, 0, kGroupK, acc);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) vst1q_f32(sums.at[t] + kPassRows * pass + 4 * v, acc[t][v]);
    }
  }
}

// sums += scale * (quants . x) - min * (sum of x); x_sums [2][T] of the halves of k.
template <int T>
void scaled_group(const float* w, const float* x, const float* x_sums, const Scales* scales, bool halves,
                  bool has_min, Sums& sums) {
  int parts = halves ? 2 : 1, step = halves ? 16 : kGroupK;
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < parts; ++i) {
      float32x4_t acc[T][4];
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) acc[t][v] = vdupq_n_f32(0);
      }
      fma_pass<T>(w, x, pass, i * step, i * step + step, acc);
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t) {
        float sum = halves ? x_sums[i * T + t] : x_sums[t] + x_sums[T + t];
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) {
          const Scales& s = scales[4 * pass + v];
          float* at = sums.at[t] + kPassRows * pass + 4 * v;
          float32x4_t y = vfmaq_f32(vld1q_f32(at), acc[t][v], s.scale[i]);
          if (has_min) y = vfmsq_n_f32(y, s.min[i], sum);
          vst1q_f32(at, y);
        }
      }
    }
  }
}

using FmaGroup = void (*)(const float*, const float*, Sums&);
constexpr FmaGroup kFmaGroup[kFloatTile] = {fma_group<1>, fma_group<2>, fma_group<3>,
                                            fma_group<4>, fma_group<5>, fma_group<6>};
using ScaledGroup = void (*)(const float*, const float*, const float*, const Scales*, bool, bool, Sums&);
constexpr ScaledGroup kScaledGroup[kFloatTile] = {scaled_group<1>, scaled_group<2>, scaled_group<3>,
                                                  scaled_group<4>, scaled_group<5>, scaled_group<6>};

// The bf16 of a kBF16 record as [32 k][tokens] f32.
inline void widen_activations(const uint8_t* record, int tokens, float* x) {
  for (int k = 0; k < kGroupK; ++k) {
    const uint8_t* pairs = record + bf16_pair(k) * 4 * tokens + bf16_side(k) * 2;
    for (int t = 0; t < tokens; ++t) {
      uint16_t bits;
      __builtin_memcpy(&bits, pairs + 4 * t, 2);
      x[k * tokens + t] = bits_to_f32(static_cast<uint32_t>(bits) << 16);
    }
  }
}

// Word kWord of all rows as f32: weights as dequantize_row gives them, or quants with the offset subtracted.
template <DType D, bool kExact, int kWord>
[[gnu::always_inline]] inline void word_to_f32(const uint8_t* group, const Scales* scales, float* w) {
  constexpr QuantFormat f = quant_format(D);
  constexpr int kHalf = f.half_scales ? kWord / 4 : 0;
  for (int part = 0; part < kParts; ++part) {
    uint32x4_t x = vreinterpretq_u32_u8(quants<D, kWord>(group, part));
    for (int j = 0; j < 4; ++j, x = vshrq_n_u32(x, 8)) {
      float32x4_t v = quants_to_f32<D>(vandq_u32(x, vdupq_n_u32(255)));
      if constexpr (kExact) v = vmulq_f32(scales[part].scale[kHalf], v);
      if constexpr (kExact && f.has_min) v = vsubq_f32(v, scales[part].min[kHalf]);
      vst1q_f32(w + (kWord * 4 + j) * kPanelRows + 4 * part, v);
    }
  }
}

template <DType D, bool kExact>
void tile_quants(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups,
                 const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  alignas(16) float w[kGroupK * kPanelRows];
  float x[kGroupK * kFloatTile];
  Sums sums;
  clear(sums, tokens);
  for_groups<D>(panel, groups, [&](int64_t g, const uint8_t* block, const uint8_t* group) {
    Scales scales[kParts];
    for (int part = 0; part < kParts; ++part) scales[part] = load_scales<D>(block, group, part);
    word_to_f32<D, kExact, 0>(group, scales, w);
    word_to_f32<D, kExact, 1>(group, scales, w);
    word_to_f32<D, kExact, 2>(group, scales, w);
    word_to_f32<D, kExact, 3>(group, scales, w);
    word_to_f32<D, kExact, 4>(group, scales, w);
    word_to_f32<D, kExact, 5>(group, scales, w);
    word_to_f32<D, kExact, 6>(group, scales, w);
    word_to_f32<D, kExact, 7>(group, scales, w);
    if constexpr (kExact) {
      const uint8_t* record = tile + g * kF32GroupBytes * tokens;
      kFmaGroup[tokens - 1](w, reinterpret_cast<const float*>(record), sums);
    } else {
      const uint8_t* record = tile + g * kBF16GroupBytes * tokens;
      widen_activations(record, tokens, x);
      kScaledGroup[tokens - 1](w, x, reinterpret_cast<const float*>(record + 64 * tokens), scales,
                               f.half_scales, f.has_min, sums);
    }
  });
  store_tile(sums, tokens, out);
}

// A group of f16 or bf16 weights as f32; f32 weights are used where they lie.
template <DType D>
inline const float* widen_group(const uint8_t* group, float* w) {
  if constexpr (D == DType::kF32) return reinterpret_cast<const float*>(group);
  for (int k = 0; k < kGroupK; ++k) {
    for (int part = 0; part < kParts; ++part) {
      float32x4_t v;
      if constexpr (D == DType::kF16) {
        v = load_f16(group + k * 64 + 8 * part);
      } else {
        uint32x4_t pairs = vreinterpretq_u32_u8(vld1q_u8(group + bf16_pair(k) * 128 + 16 * part));
        pairs = bf16_side(k) == 0 ? vshlq_n_u32(pairs, 16) : vandq_u32(pairs, vdupq_n_u32(0xffff0000u));
        v = vreinterpretq_f32_u32(pairs);
      }
      vst1q_f32(w + k * kPanelRows + 4 * part, v);
    }
  }
  return w;
}

template <DType D, bool kRounded>
void tile_floats(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups,
                 const TileOutput& out) {
  alignas(16) float w[kGroupK * kPanelRows];
  float widened[kGroupK * kFloatTile];
  Sums sums;
  clear(sums, tokens);
  for (int64_t g = 0; g < groups; ++g, panel += float_group_bytes_of<D>) {
    const float* x = reinterpret_cast<const float*>(tile + g * kF32GroupBytes * tokens);
    if constexpr (kRounded) {
      widen_activations(tile + g * kBF16GroupBytes * tokens, tokens, widened);
      x = widened;
    }
    kFmaGroup[tokens - 1](widen_group<D>(panel, w), x, sums);
  }
  store_tile(sums, tokens, out);
}

template <DType D>
void gemm_float(const GemmArgs& a) {
  if (a.precision == Precision::kInt8) __builtin_trap();  // the caller picks kBF16 for float weights
  if (a.precision == Precision::kBF16) return run_tiles(a, kFloatTile, tile_floats<D, true>);
  run_tiles(a, kFloatTile, tile_floats<D, false>);
}

template <DType D>
void gemm_quants_float(const GemmArgs& a) {
  if (a.precision == Precision::kBF16) return run_tiles(a, kFloatTile, tile_quants<D, false>);
  run_tiles(a, kFloatTile, tile_quants<D, true>);
}

}  // namespace
}  // namespace turgo::neon
