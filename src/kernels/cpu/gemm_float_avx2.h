// AVX2: bf16 and f32 activations, up to 6 tokens a tile, all by f32 FMA. Packed weights become f32 [32 k][32
// rows], a few groups at a time in L1 for all tiles of a chunk — exact weights, or for integer weights x bf16
// the exact quants, whose sum is scaled once per scale — and bf16 activations are widened to [32 k][tokens].
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

// sums += scale * (quants . x) - min * (sum of x) over `groups` groups of one scale, or over the halves of
// one. w [groups][32 k][32 rows], x [groups][32 k][T], x_sums [groups][2][T] of the halves of k.
template <int T, bool kHalves, bool kMin>
void scaled_groups(const float* w, const float* x, const float* x_sums, int groups, const Scales* scales,
                   Sums& sums) {
  for (int pass = 0; pass < 2; ++pass) {
    for (int i = 0; i < (kHalves ? 2 : 1); ++i) {
      __m256 acc[T][2];
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = _mm256_setzero_ps();
      if constexpr (kHalves) {
        fma_pass<T>(w, x, pass, 16 * i, 16 * i + 16, acc);
      } else {
        fma_pass<T>(w, x, pass, 0, groups * kGroupK, acc);
      }
#pragma GCC unroll 6
      for (int t = 0; t < T; ++t) {
        float sum = kHalves ? x_sums[i * T + t] : 0;
        if constexpr (kMin && !kHalves) {
          for (int g = 0; g < groups; ++g) sum += x_sums[2 * g * T + t] + x_sums[(2 * g + 1) * T + t];
        }
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const Scales& s = scales[2 * pass + v];
          float* at = sums.at[t] + 16 * pass + 8 * v;
          __m256 y = _mm256_fmadd_ps(acc[t][v], s.scale[i], _mm256_load_ps(at));
          if constexpr (kMin) y = _mm256_fnmadd_ps(s.min[i], _mm256_set1_ps(sum), y);
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
using ScaledGroups = void (*)(const float*, const float*, const float*, int, const Scales*, Sums&);
constexpr FmaGroup kFmaGroup[kFloatTile] = {fma_group<1>, fma_group<2>, fma_group<3>,
                                            fma_group<4>, fma_group<5>, fma_group<6>};
constexpr FmaGroup kFmaBF16Weights[kFloatTile] = {fma_bf16_weights<1>, fma_bf16_weights<2>,
                                                  fma_bf16_weights<3>, fma_bf16_weights<4>,
                                                  fma_bf16_weights<5>, fma_bf16_weights<6>};
template <bool kHalves, bool kMin>
constexpr ScaledGroups kScaledGroups[kFloatTile] = {
    scaled_groups<1, kHalves, kMin>, scaled_groups<2, kHalves, kMin>, scaled_groups<3, kHalves, kMin>,
    scaled_groups<4, kHalves, kMin>, scaled_groups<5, kHalves, kMin>, scaled_groups<6, kHalves, kMin>};

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

// The same for one token.
[[gnu::always_inline]] inline void widen_token(const uint8_t* record, float* x) {
  const __m256i kUpper = _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u));
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    const __m256i pairs = load(record + 32 * i);
    const __m256d low = _mm256_castsi256_pd(_mm256_slli_epi32(pairs, 16));
    const __m256d high = _mm256_castsi256_pd(_mm256_and_si256(pairs, kUpper));
    const __m256 even = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));  // k 0 … 3, 8 … 11
    const __m256 odd = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));   // k 4 … 7, 12 … 15
    _mm256_store_ps(x + 16 * i, _mm256_permute2f128_ps(even, odd, 0x20));
    _mm256_store_ps(x + 16 * i + 8, _mm256_permute2f128_ps(even, odd, 0x31));
  }
}

// Quants of word kWord to f32 [4 k][32 rows]; kExact: the weights, else quant - offset.
template <DType D, bool kExact, int kWord>
[[gnu::always_inline]] inline void word_to_f32(const uint8_t* group, const Scales* scales, float* w) {
  constexpr QuantFormat f = quant_format(D);
  constexpr int i = f.half_scales ? kWord / 4 : 0;
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    const __m256i x = without_offset<D>(quants<D, kWord>(group, part));
    float* to = w + kWord * 128 + 8 * part;
    auto store = [&](float* at, __m256 v) __attribute__((always_inline)) {
      if constexpr (kExact) {
        v = _mm256_mul_ps(scales[part].scale[i], v);
        if constexpr (f.has_min) v = _mm256_sub_ps(v, scales[part].min[i]);
      }
      _mm256_store_ps(at, v);
    };
    store(to, quant_to_f32<D, 0>(x));
    store(to + 32, quant_to_f32<D, 1>(x));
    store(to + 64, quant_to_f32<D, 2>(x));
    store(to + 96, quant_to_f32<D, 3>(x));
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

// A piece of a panel becomes f32 once for all tiles of a chunk, whose sums wait in L1 and L2. Two groups
// are 8 KB: two threads of a core share its L1 (docs/performance.md, "Tried and dropped").
constexpr int kPieceTiles = 24;
template <DType D>
constexpr int kPieceGroups = quant_format(D).groups > 2 ? quant_format(D).groups : 2;

// One tile times groups [first, first + count) of a panel, which lie in w.
template <DType D, bool kExact>
[[gnu::always_inline]] inline void multiply_piece(const float* w, const Scales (*scales)[4], int tokens,
                                                  const uint8_t* tile, int64_t first, int count, Sums& sums) {
  constexpr QuantFormat f = quant_format(D);
  if constexpr (kExact) {
    const uint8_t* record = tile + first * kF32GroupBytes * tokens;
    for (int i = 0; i < count; ++i, w += kGroupK * kPanelRows, record += kF32GroupBytes * tokens)
      kFmaGroup[tokens - 1](w, reinterpret_cast<const float*>(record), sums);
  } else {
    alignas(32) float x[f.groups * kGroupK * kFloatTile];
    float x_sums[f.groups * 2 * kFloatTile];
    const uint8_t* record = tile + first * kBF16GroupBytes * tokens;
    for (int i = 0; i < count; i += f.groups, w += f.groups * kGroupK * kPanelRows) {
      for (int g = 0; g < f.groups; ++g, record += kBF16GroupBytes * tokens) {
        widen_activations(record, tokens, x + g * kGroupK * tokens);
        __builtin_memcpy(x_sums + g * 2 * tokens, record + 64 * tokens,
                         sizeof(float) * 2 * static_cast<size_t>(tokens));
      }
      kScaledGroups<f.half_scales, f.has_min>[tokens - 1](w, x, x_sums, f.groups, scales[i], sums);
    }
  }
}

template <DType D, bool kExact>
void gemm_quants_f32(const GemmArgs& a) {
  alignas(32) float w[kPieceGroups<D>][kGroupK * kPanelRows];
  Scales scales[kPieceGroups<D>][4];
  Sums sums[kPieceTiles];
  const int64_t groups = a.weight.k / kGroupK, bytes = tile_bytes(a.precision, kFloatTile, a.weight.k);
  const int64_t panel_bytes = packed_panel_bytes(a.weight.dtype, a.weight.k);
  const int64_t fit = kActivationChunkBytes / bytes;
  const int64_t chunk = (fit < 1 ? 1 : fit > kPieceTiles ? kPieceTiles : fit) * kFloatTile;
  const auto* activations = reinterpret_cast<const uint8_t*>(a.activations);
  for (int64_t begin = 0; begin < a.m; begin += chunk) {
    const int64_t end = begin + chunk < a.m ? begin + chunk : a.m;
    for (int64_t p = a.panel_begin; p < a.panel_end; ++p) {
      const uint8_t* panel = reinterpret_cast<const uint8_t*>(a.weight.data) + p * panel_bytes;
      auto for_tiles = [&](auto body) __attribute__((always_inline)) {
        for (int64_t t = begin; t < end; t += kFloatTile) {
          const int64_t tokens = end - t < kFloatTile ? end - t : kFloatTile;
          body(t, static_cast<int>(tokens), sums[(t - begin) / kFloatTile]);
        }
      };
      for_tiles([](int64_t, int tokens, Sums& s) { clear(s, tokens); });
      for_groups<D>(
          panel, groups,
          [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
            const int64_t i = g % kPieceGroups<D>;
            for (int part = 0; part < 4; ++part) scales[i][part] = load_scales<D>(block, group, part);
            group_to_f32<D, kExact>(group, scales[i], w[i]);
            if (i + 1 < kPieceGroups<D> && g + 1 < groups) return;
            for_tiles([&](int64_t t, int tokens, Sums& s) {
              multiply_piece<D, kExact>(w[0], scales, tokens, activations + t / kFloatTile * bytes, g - i,
                                        static_cast<int>(i + 1), s);
            });
          });
      const int64_t row = p * kPanelRows, left = a.weight.n - row;
      for_tiles([&](int64_t t, int tokens, Sums& s) {
        store_tile(s, tokens,
                   {a.y + t * a.y_stride + row, a.y_stride, a.bias ? a.bias + row : nullptr,
                    static_cast<int>(left < kPanelRows ? left : kPanelRows), a.accumulate});
      });
    }
  }
}

// A nibble is used where it lies in its lane, quant x 2^bit, times x / 2^bit: the product has the bits of
// quant * x (down to |x| = 2^-118), without moving the nibble down first. The uppermost one would have a sign
// there, so it moves.
template <DType D>
constexpr bool kNibbles =
    quant_format(D).low_bits == 4 && quant_format(D).high_bits == 0 && quant_format(D).offset == 0;

// x[k] / 2^bit, 32 k of a group.
[[gnu::always_inline]] inline void scale_to_nibbles(float* x) {
  const __m256 low = _mm256_setr_ps(1, 0x1p-8f, 0x1p-16f, 0x1p-24f, 1, 0x1p-8f, 0x1p-16f, 0x1p-24f);
  const __m256 high = _mm256_setr_ps(0x1p-4f, 0x1p-12f, 0x1p-20f, 1, 0x1p-4f, 0x1p-12f, 0x1p-20f, 1);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    _mm256_store_ps(x + 8 * i, _mm256_mul_ps(_mm256_load_ps(x + 8 * i), i < 2 ? low : high));
}

// Byte kByte of word kWord, or its nibble in place.
template <DType D, int kWord, int kByte>
[[gnu::always_inline]] inline __m256 word_quant(const uint8_t* group, int part) {
  if constexpr (kNibbles<D>) {
    const __m256i q = load(group + quant_layout(D).low_offset + kWord % 4 * 128 + part * 32);
    constexpr int kBit = 8 * kByte + kWord / 4 * 4;
    if constexpr (kBit == 28) {
      return _mm256_cvtepi32_ps(_mm256_srli_epi32(q, 28));
    } else {
      return _mm256_cvtepi32_ps(_mm256_and_si256(q, _mm256_set1_epi32(15 << kBit)));
    }
  } else {
    return quant_to_f32<D, kByte>(without_offset<D>(quants<D, kWord>(group, part)));
  }
}

template <DType D, int kWord>
[[gnu::always_inline]] inline void dot_word(const uint8_t* group, const float* x, __m256 (&acc)[4]) {
  const __m256 x0 = _mm256_broadcast_ss(x + 4 * kWord), x1 = _mm256_broadcast_ss(x + 4 * kWord + 1),
               x2 = _mm256_broadcast_ss(x + 4 * kWord + 2), x3 = _mm256_broadcast_ss(x + 4 * kWord + 3);
#pragma GCC unroll 4
  for (int part = 0; part < 4; ++part) {
    acc[part] = _mm256_fmadd_ps(word_quant<D, kWord, 0>(group, part), x0, acc[part]);
    acc[part] = _mm256_fmadd_ps(word_quant<D, kWord, 1>(group, part), x1, acc[part]);
    acc[part] = _mm256_fmadd_ps(word_quant<D, kWord, 2>(group, part), x2, acc[part]);
    acc[part] = _mm256_fmadd_ps(word_quant<D, kWord, 3>(group, part), x3, acc[part]);
  }
}

// One token of bf16 times groups of a panel that begin with a block; x [groups][32] are its activations in
// f32, for nibbles scaled. Each weight is used once, so it stays in registers. The same operations in the
// same order as above, so the same bits (but for nibbles: see there).
template <DType D>
void token_quants(const uint8_t* panel, const float* x, const uint8_t* records, int64_t groups, Sums& sums) {
  constexpr QuantFormat f = quant_format(D);
  __m256 acc[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
  float x_sum = 0;
  for_groups<D>(panel, groups,
                [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
                  const auto* x_sums = reinterpret_cast<const float*>(records + g * kBF16GroupBytes + 64);
                  auto add = [&](int i) __attribute__((always_inline)) {
#pragma GCC unroll 4
                    for (int part = 0; part < 4; ++part) {
                      const Scales s = load_scales<D>(block, group, part);
                      float* at = sums.at[0] + 8 * part;
                      __m256 y = _mm256_fmadd_ps(acc[part], s.scale[i], _mm256_load_ps(at));
                      if constexpr (f.has_min) y = _mm256_fnmadd_ps(s.min[i], _mm256_set1_ps(x_sum), y);
                      _mm256_store_ps(at, y);
                      acc[part] = _mm256_setzero_ps();
                    }
                    x_sum = 0;
                  };
                  dot_word<D, 0>(group, x, acc);
                  dot_word<D, 1>(group, x, acc);
                  dot_word<D, 2>(group, x, acc);
                  dot_word<D, 3>(group, x, acc);
                  if constexpr (f.half_scales) {
                    x_sum = x_sums[0];
                    add(0);
                  }
                  dot_word<D, 4>(group, x, acc);
                  dot_word<D, 5>(group, x, acc);
                  dot_word<D, 6>(group, x, acc);
                  dot_word<D, 7>(group, x, acc);
                  x += kGroupK;
                  if constexpr (f.half_scales) {
                    x_sum = x_sums[1];
                    add(1);
                  } else {
                    x_sum += x_sums[0] + x_sums[1];
                    if (g % f.groups == f.groups - 1) add(0);
                  }
                });
}

// Activations are widened once for all panels, or where they are very many, piece by piece for each: few at
// a time then, since panels stream through L1.
template <DType D>
void gemm_token_quants(const GemmArgs& a) {
  constexpr int64_t kMost = 256, kFew = 64;  // groups
  static_assert(kMost % quant_layout(D).groups_per_block == 0 &&
                kFew % quant_layout(D).groups_per_block == 0);
  alignas(32) float x[kMost * kGroupK];
  const int64_t groups = a.weight.k / kGroupK, bytes = packed_panel_bytes(a.weight.dtype, a.weight.k);
  const int64_t piece = groups > kMost ? kFew : kMost;
  const auto* records = reinterpret_cast<const uint8_t*>(a.activations);
  for (int64_t p = a.panel_begin; p < a.panel_end; ++p) {
    const uint8_t* panel = reinterpret_cast<const uint8_t*>(a.weight.data) + p * bytes;
    Sums sums;
    clear(sums, 1);
    for (int64_t g = 0; g < groups; g += piece) {
      const int64_t count = groups - g < piece ? groups - g : piece;
      const uint8_t* first = records + g * kBF16GroupBytes;
      if (p == a.panel_begin || groups > piece) {
        for (int64_t i = 0; i < count; ++i) {
          widen_token(first + i * kBF16GroupBytes, x + i * kGroupK);
          if constexpr (kNibbles<D>) scale_to_nibbles(x + i * kGroupK);
        }
      }
      token_quants<D>(panel, x, first, count, sums);
      panel += count / quant_layout(D).groups_per_block * quant_layout(D).block_bytes;
    }
    const int64_t row = p * kPanelRows, left = a.weight.n - row;
    store_tile(sums, 1,
               {a.y + row, a.y_stride, a.bias ? a.bias + row : nullptr,
                static_cast<int>(left < kPanelRows ? left : kPanelRows), a.accumulate});
  }
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
  if (a.precision == Precision::kBF16) {
    if (a.m == 1) return gemm_token_quants<D>(a);
    return gemm_quants_f32<D, false>(a);
  }
  gemm_quants_f32<D, true>(a);
}

}  // namespace
}  // namespace turgo::avx2
