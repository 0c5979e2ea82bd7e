// AVX2 and AVX-VNNI: integer weights x int8 activations, up to 6 tokens a tile. One or two tokens take the
// whole panel in one pass (4 vectors of 8 rows), more take it in two passes of 2 vectors: at most 12 integer
// sums, 2 vectors of weights, 1 broadcast and 1 product in the 16 registers. The f32 sums live in L1.
//
// Without VNNI products are added in 16 bits as long as they fit (2 * quant * 127 per word): all 8 words for
// quants to 15, 4 for 31, 2 for 63. Bytes (Q8_0) take |w| x sign(a, w): 2 * 128 * 127 = 32512 fits once.
#pragma once

#include "kernels/cpu/quants_avx2.h"

namespace turgo::avx2 {
namespace {

constexpr int kInt8Tile = 6;

#ifdef __AVXVNNI__
constexpr bool kVnni = true;
#else
constexpr bool kVnni = false;
#endif

// Left alone, the compiler reorders integer sums: it forms all products of a group first and spills them.
[[gnu::always_inline]] inline void add_now(__m256i& sum) {
  __asm__("" : "+x"(sum));
}

// Integer sums of T tokens x V vectors.
template <DType D, int T, int V>
struct Dots {
  static constexpr QuantFormat kFormat = quant_format(D);
  static constexpr int kBits = kFormat.low_bits + kFormat.high_bits;
  // Words whose products fit into 16 bits together; 0: every product goes to 32 bits at once.
  static constexpr int kWordsIn16 = kVnni || kBits == 8 ? 0 : kBits <= 4 ? 8 : kBits == 5 ? 4 : 2;
  // Q8_0 without VNNI takes signed bytes, so its sums have no offset.
  static constexpr int kOffset = !kVnni && kBits == 8 ? 0 : kFormat.offset;

  __m256i sum[T][V], part[T][V];

  template <bool kFirst>
  [[gnu::always_inline]] inline void add(__m256i w, __m256i a, int t, int v) {
#ifdef __AVXVNNI__
    sum[t][v] = _mm256_dpbusd_avx_epi32(sum[t][v], w, a);
#else
    if constexpr (kBits == 8) {
      __m256i s = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80)));
      __m256i p = _mm256_maddubs_epi16(_mm256_abs_epi8(s), _mm256_sign_epi8(a, s));
      sum[t][v] = _mm256_add_epi32(sum[t][v], _mm256_madd_epi16(p, _mm256_set1_epi16(1)));
      add_now(sum[t][v]);
    } else {
      __m256i p = _mm256_maddubs_epi16(w, a);
      part[t][v] = kFirst ? p : _mm256_add_epi16(part[t][v], p);
      add_now(part[t][v]);
    }
#endif
  }

  // 16-bit sums to the 32-bit ones.
  [[gnu::always_inline]] inline void widen() {
    if constexpr (kWordsIn16 == 0) return;
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        sum[t][v] = _mm256_add_epi32(sum[t][v], _mm256_madd_epi16(part[t][v], _mm256_set1_epi16(1)));
      }
    }
  }

  template <int kWord, int kIndex>  // kIndex: how many words came before
  [[gnu::always_inline]] inline void add_word(const uint8_t* group, const uint8_t* record, int first_part) {
    constexpr bool kFirst = kWordsIn16 > 0 && kIndex % kWordsIn16 == 0;
    __m256i w[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) w[v] = quants<D, kWord>(group, first_part + v);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      __m256i a = broadcast32(record + (kWord * T + t) * 4);
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) add<kFirst>(w[v], a, t, v);
    }
    if constexpr (kWordsIn16 > 0 && kIndex % kWordsIn16 == kWordsIn16 - 1) widen();
  }
};

// -offset * S from -8 S: offsets are powers of two.
template <int kOffset>
[[gnu::always_inline]] inline __m256i initial(int32_t minus_8_sum) {
  if constexpr (kOffset == 0) return _mm256_setzero_si256();
  __m256i x = _mm256_set1_epi32(minus_8_sum);
  if constexpr (kOffset == 4) x = _mm256_srai_epi32(x, 1);
  if constexpr (kOffset == 16) x = _mm256_slli_epi32(x, 1);
  if constexpr (kOffset == 32) x = _mm256_slli_epi32(x, 2);
  if constexpr (kOffset == 128) x = _mm256_slli_epi32(x, 4);
  return x;
}

// One group, or with sub-scales per 16 k one half of it (kHalf 0, 1), added to the f32 sums.
template <DType D, int T, int V, int kHalf>
[[gnu::always_inline]] inline void add_part(const uint8_t* block, const uint8_t* group, const uint8_t* record,
                                            int first_part, __m256 (&sums)[T][V]) {
  using D4 = Dots<D, T, V>;
  constexpr QuantFormat f = quant_format(D);
  const auto* scales = reinterpret_cast<const float*>(record + 32 * T);
  const auto* offsets = reinterpret_cast<const int32_t*>(record + 40 * T);
  D4 dots;
#pragma GCC unroll 6
  for (int t = 0; t < T; ++t) {
    int32_t low = offsets[T + t], all = offsets[t];
    int32_t minus_sum = !f.half_scales ? all : kHalf == 0 ? low : all - low;
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) dots.sum[t][v] = initial<D4::kOffset>(minus_sum);
  }
  if constexpr (f.half_scales) {
    dots.template add_word<4 * kHalf + 0, 0>(group, record, first_part);
    dots.template add_word<4 * kHalf + 1, 1>(group, record, first_part);
    dots.template add_word<4 * kHalf + 2, 2>(group, record, first_part);
    dots.template add_word<4 * kHalf + 3, 3>(group, record, first_part);
    if constexpr (D4::kWordsIn16 > 4) dots.widen();
  } else {
    dots.template add_word<0, 0>(group, record, first_part);
    dots.template add_word<4, 1>(group, record, first_part);
    dots.template add_word<1, 2>(group, record, first_part);
    dots.template add_word<5, 3>(group, record, first_part);
    dots.template add_word<2, 4>(group, record, first_part);
    dots.template add_word<6, 5>(group, record, first_part);
    dots.template add_word<3, 6>(group, record, first_part);
    dots.template add_word<7, 7>(group, record, first_part);
  }
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    Scales s = load_scales<D>(block, group, first_part + v);
#pragma GCC unroll 6
    for (int t = 0; t < T; ++t) {
      __m256 scale = _mm256_mul_ps(s.scale[kHalf], _mm256_set1_ps(scales[t]));
      sums[t][v] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots.sum[t][v]), scale, sums[t][v]);
      if constexpr (f.has_min && f.half_scales) {
        int32_t low = offsets[T + t];
        float minus_sum = static_cast<float>(kHalf == 0 ? low : offsets[t] - low) * 0.125f * scales[t];
        sums[t][v] = _mm256_fmadd_ps(s.min[kHalf], _mm256_set1_ps(minus_sum), sums[t][v]);
      } else if constexpr (f.has_min) {
        sums[t][v] = _mm256_fnmadd_ps(s.min[0], _mm256_set1_ps(scales[T + t]), sums[t][v]);
      }
    }
  }
}

template <DType D, int T, int V, int kFirstPart>
[[gnu::always_inline]] inline void pass_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups,
                                             Sums& out) {
  __m256 sums[T][V];
#pragma GCC unroll 6
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) sums[t][v] = _mm256_setzero_ps();
  }
  for_groups<D, kFirstPart == 0>(panel, groups,
                                 [&](int64_t g, const uint8_t* block, const uint8_t* group)
                                     __attribute__((always_inline)) {
                                       const uint8_t* record = tile + g * kInt8GroupBytes * T;
                                       add_part<D, T, V, 0>(block, group, record, kFirstPart, sums);
                                       if constexpr (quant_format(D).half_scales)
                                         add_part<D, T, V, 1>(block, group, record, kFirstPart, sums);
                                     });
#pragma GCC unroll 6
  for (int t = 0; t < T; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) _mm256_store_ps(out.at[t] + 8 * (kFirstPart + v), sums[t][v]);
  }
}

template <DType D, int T>
void tile_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr int V = T <= 2 ? 4 : 2;
  Sums sums;
  pass_int8<D, T, V, 0>(panel, tile, groups, sums);
  if constexpr (V == 2) pass_int8<D, T, V, 2>(panel, tile, groups, sums);
  store_tile(sums, T, out);
}

template <DType D>
void gemm_int8(const GemmArgs& a) {
  static constexpr TileKernel kKernels[kInt8Tile] = {tile_int8<D, 1>, tile_int8<D, 2>, tile_int8<D, 3>,
                                                     tile_int8<D, 4>, tile_int8<D, 5>, tile_int8<D, 6>};
  run_tile_kernels(a, kInt8Tile, kKernels);
}

}  // namespace
}  // namespace turgo::avx2
