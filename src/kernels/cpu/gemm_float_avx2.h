// AVX2: bf16 and f32 activations, up to 6 tokens a tile, all by f32 FMA. A group's weights go through a
// buffer [32 k][32 rows] f32 in L1 — exact weights, or for integer weights x bf16 the exact quants, whose
// group sum is then scaled — and bf16 activations are widened to [32 k][tokens].
#pragma once

#include "kernels/cpu/quants_avx2.h"

namespace turgo::avx2 {
namespace {

constexpr int kFloatTile = kMaxTile;

// acc += rows 16 * pass … of w [32 k][32 rows] times x [32 k][T], k in [first, last).
template <int T>
[[gnu::always_inline]] inline void fma_pass(const float* w, const float* x, int pass, int first, int last,
                                            __m256 (&acc)[T][2]) {
#pragma GCC unroll 2
  for (int k = first; k < last; ++k) {
    __m256 w0 = _mm256_loadu_ps(w + k * 32 + 16 * pass), w1 = _mm256_loadu_ps(w + k * 32 + 16 * pass + 8);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      __m256 a = _mm256_broadcast_ss(x + k * T + t);
      acc[t][0] = _mm256_fmadd_ps(w0, a, acc[t][0]);
      acc[t][1] = _mm256_fmadd_ps(w1, a, acc[t][1]);
    }
  }
}

template <int T>
void fma_group(const float* w, const float* x, Sums& sums) {
  for (int pass = 0; pass < 2; ++pass) {
    __m256 acc[T][2];
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      acc[t][0] = _mm256_load_ps(sums.at[t] + 16 * pass);
      acc[t][1] = _mm256_load_ps(sums.at[t] + 16 * pass + 8);
    }
    fma_pass<T>(w, x, pass, 0, kGroupK, acc);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      _mm256_store_ps(sums.at[t] + 16 * pass, acc[t][0]);
      _mm256_store_ps(sums.at[t] + 16 * pass + 8, acc[t][1]);
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
      __m256 acc[T][2];
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
      fma_pass<T>(w, x, pass, i * step, i * step + step, acc);
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t) {
        float sum = halves ? x_sums[i * T + t] : x_sums[t] + x_sums[T + t];
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const Scales& s = scales[2 * pass + v];
          float* at = sums.at[t] + 16 * pass + 8 * v;
          __m256 y = _mm256_fmadd_ps(acc[t][v], s.scale[i], _mm256_load_ps(at));
          if (has_min) y = _mm256_fnmadd_ps(s.min[i], _mm256_set1_ps(sum), y);
          _mm256_store_ps(at, y);
        }
      }
    }
  }
}

// The same with bf16 weights from the panel; w points at the group.
template <int T>
void fma_bf16_weights(const float* w, const float* x, Sums& sums) {
  const auto* group = reinterpret_cast<const uint8_t*>(w);
  const __m256i kUpper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
  for (int pass = 0; pass < 2; ++pass) {
    __m256 acc[T][2];
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      acc[t][0] = _mm256_load_ps(sums.at[t] + 16 * pass);
      acc[t][1] = _mm256_load_ps(sums.at[t] + 16 * pass + 8);
    }
    for (int p = 0; p < 16; ++p) {
      const uint8_t* at = group + p * 128 + pass * 64;
      const float* a = x + (p / 2 * 4 + p % 2) * T;
#pragma GCC unroll 2
      for (int side = 0; side < 2; ++side) {
        __m256i i0 = load(at), i1 = load(at + 32);
        __m256 w0 = _mm256_castsi256_ps(side == 0 ? _mm256_slli_epi32(i0, 16) : _mm256_and_si256(i0, kUpper));
        __m256 w1 = _mm256_castsi256_ps(side == 0 ? _mm256_slli_epi32(i1, 16) : _mm256_and_si256(i1, kUpper));
#pragma GCC unroll 6
        for (int t = 0; t < T; ++t) {
          __m256 b = _mm256_broadcast_ss(a + 2 * side * T + t);
          acc[t][0] = _mm256_fmadd_ps(w0, b, acc[t][0]);
          acc[t][1] = _mm256_fmadd_ps(w1, b, acc[t][1]);
        }
      }
    }
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      _mm256_store_ps(sums.at[t] + 16 * pass, acc[t][0]);
      _mm256_store_ps(sums.at[t] + 16 * pass + 8, acc[t][1]);
    }
  }
}

using FmaGroup = void (*)(const float*, const float*, Sums&);
using ScaledGroup = void (*)(const float*, const float*, const float*, const Scales*, bool, bool, Sums&);
constexpr FmaGroup kFmaGroup[kFloatTile] = {fma_group<1>, fma_group<2>, fma_group<3>,
                                            fma_group<4>, fma_group<5>, fma_group<6>};
constexpr FmaGroup kFmaBF16Weights[kFloatTile] = {fma_bf16_weights<1>, fma_bf16_weights<2>,
                                                  fma_bf16_weights<3>, fma_bf16_weights<4>,
                                                  fma_bf16_weights<5>, fma_bf16_weights<6>};
constexpr ScaledGroup kScaledGroup[kFloatTile] = {scaled_group<1>, scaled_group<2>, scaled_group<3>,
                                                  scaled_group<4>, scaled_group<5>, scaled_group<6>};

// A kBF16 record's activations as f32 [32][tokens]. Pair rows 2 i, 2 i + 1 hold k = 4 i, 4 i + 1 in their
// lower halves and 4 i + 2, 4 i + 3 in the upper ones, so both are copied as runs of 2 tokens.
[[gnu::always_inline]] inline void widen_activations(const uint8_t* record, int tokens, float* x) {
  const auto* pairs = reinterpret_cast<const uint32_t*>(record);
  for (int i = 0; i < 8; ++i) {
    const uint32_t* from = pairs + 2 * i * tokens;
    float* to = x + 4 * i * tokens;
    for (int j = 0; j < 2 * tokens; ++j) to[j] = bits_to_f32(from[j] << 16);
    for (int j = 0; j < 2 * tokens; ++j) to[2 * tokens + j] = bits_to_f32(from[j] & 0xffff0000u);
  }
}

// Quants of word kWord to f32 [4 k][32 rows]; kExact: the weights, else quant - offset.
template <DType D, bool kExact, int kWord>
[[gnu::always_inline]] inline void word_to_f32(const uint8_t* group, const Scales* scales, float* w) {
  constexpr QuantFormat f = quant_format(D);
  constexpr int i = f.half_scales ? kWord / 4 : 0;
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    __m256i x = quants<D, kWord>(group, part);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      __m256i q = _mm256_and_si256(_mm256_srli_epi32(x, 8 * j), _mm256_set1_epi32(255));
      __m256 v = quants_to_f32<D>(q);
      if constexpr (kExact) {
        v = _mm256_mul_ps(scales[part].scale[i], v);
        if constexpr (f.has_min) v = _mm256_sub_ps(v, scales[part].min[i]);
      }
      _mm256_store_ps(w + (kWord * 4 + j) * 32 + 8 * part, v);
    }
  }
}

template <DType D, bool kExact>
[[gnu::always_inline]] inline void group_to_f32(const uint8_t* group, const Scales* scales, float* w) {
  word_to_f32<D, kExact, 0>(group, scales, w);
  word_to_f32<D, kExact, 1>(group, scales, w);
  word_to_f32<D, kExact, 2>(group, scales, w);
  word_to_f32<D, kExact, 3>(group, scales, w);
  word_to_f32<D, kExact, 4>(group, scales, w);
  word_to_f32<D, kExact, 5>(group, scales, w);
  word_to_f32<D, kExact, 6>(group, scales, w);
  word_to_f32<D, kExact, 7>(group, scales, w);
}

template <DType D, bool kExact>
void tile_quants(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups,
                 const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  alignas(32) float w[kGroupK * kPanelRows];
  alignas(32) float x[kGroupK * kFloatTile];
  Sums sums;
  clear(sums, tokens);
  for_groups<D>(panel, groups,
                [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
                  Scales scales[4];
                  for (int part = 0; part < 4; ++part) scales[part] = load_scales<D>(block, group, part);
                  group_to_f32<D, kExact>(group, scales, w);
                  if constexpr (kExact) {
                    const uint8_t* record = tile + g * kF32GroupBytes * tokens;
                    kFmaGroup[tokens - 1](w, reinterpret_cast<const float*>(record), sums);
                  } else {
                    const uint8_t* record = tile + g * kBF16GroupBytes * tokens;
                    widen_activations(record, tokens, x);
                    kScaledGroup[tokens - 1](w, x, reinterpret_cast<const float*>(record + 64 * tokens),
                                             scales, f.half_scales, f.has_min, sums);
                  }
                });
  store_tile(sums, tokens, out);
}

// A group of f16 weights as f32; the others are used where they lie.
template <DType D>
[[gnu::always_inline]] inline const float* widen_group(const uint8_t* group, float* w) {
  if constexpr (D != DType::kF16) return reinterpret_cast<const float*>(group);
  for (int k = 0; k < kGroupK; ++k) {
#pragma GCC unroll 4
    for (int part = 0; part < 4; ++part) {
      _mm256_store_ps(w + k * 32 + 8 * part, load_f16(group + k * 64 + 16 * part));
    }
  }
  return w;
}

template <DType D, bool kRounded>
void tile_floats(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups,
                 const TileOutput& out) {
  alignas(32) float w[kGroupK * kPanelRows];
  alignas(32) float widened[kGroupK * kFloatTile];
  FmaGroup fma = D == DType::kBF16 ? kFmaBF16Weights[tokens - 1] : kFmaGroup[tokens - 1];
  Sums sums;
  clear(sums, tokens);
  for (int64_t g = 0; g < groups; ++g, panel += float_group_bytes_of<D>) {
#pragma GCC unroll 1
    for (int i = 0; i < float_group_bytes_of<D>; i += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(panel + 8192 + i), _MM_HINT_T0);
    }
    const float* x = reinterpret_cast<const float*>(tile + g * kF32GroupBytes * tokens);
    if constexpr (kRounded) {
      widen_activations(tile + g * kBF16GroupBytes * tokens, tokens, widened);
      x = widened;
    }
    fma(widen_group<D>(panel, w), x, sums);
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
}  // namespace turgo::avx2
