// AVX-512: the planes of a packed group as operands. A vector holds 16 rows (`half` of the panel) x 4 k
// (`word` = k / 4) as unsigned bytes, offset not subtracted.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/gemm_common.h"

namespace turgo::avx512 {
namespace {

constexpr int kPrefetchAhead = 8 << 10;  // bytes; 4 KB and 16 KB were 1–5 % slower, none up to 13 %

[[gnu::always_inline]] inline __m512i load(const uint8_t* p) {
  return _mm512_loadu_si512(p);
}

[[gnu::always_inline]] inline __m512 load_f16(const uint8_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

// 16 bytes as f32.
[[gnu::always_inline]] inline __m512 load_u8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
[[gnu::always_inline]] inline __m512 load_s8(const uint8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

// Bits 2 * field … + 1 of every byte, moved up by `up` bits.
template <int kField, int kUp>
[[gnu::always_inline]] inline __m512i crumbs(__m512i x) {
  constexpr int kShift = 2 * kField - kUp;
  if constexpr (kShift > 0) x = _mm512_srli_epi16(x, kShift);
  if constexpr (kShift < 0) x = _mm512_slli_epi16(x, -kShift);
  return _mm512_and_si512(x, _mm512_set1_epi8(3 << kUp));
}

template <DType D, int kWord>
[[gnu::always_inline]] inline __m512i quants(const uint8_t* group, int half) {
  constexpr QuantFormat f = quant_format(D);
  constexpr QuantLayout l = quant_layout(D);
  const uint8_t* low = group + l.low_offset + half * 64;
  const uint8_t* high = group + l.high_offset;
  __m512i x;
  if constexpr (f.low_bits == 8) {
    x = load(low + kWord * 128);
  } else if constexpr (f.low_bits == 4) {
    x = load(low + kWord % 4 * 128);
    if constexpr (kWord >= 4) x = _mm512_srli_epi16(x, 4);
    x = _mm512_and_si512(x, _mm512_set1_epi8(15));
  } else {
    x = crumbs<kWord % 4, 0>(load(low + kWord / 4 * 128));
  }
  if constexpr (f.high_bits == 1) {
    __mmask64 bits;
    __builtin_memcpy(&bits, high + kWord * 16 + half * 8, 8);
    // The bit is clear below, so that adding sets it.
    x = _mm512_mask_add_epi8(x, bits, x, _mm512_set1_epi8(1 << f.low_bits));
  } else if constexpr (f.high_bits == 2) {
    x = _mm512_or_si512(x, crumbs<kWord % 4, 4>(load(high + half * 64 + kWord / 4 * 128)));
  }
  return x;
}

// e4m3 in the low bytes of 32-bit lanes, the others zero. Subnormals are counted down from 2^-6, so that no
// f32 subnormal comes up.
[[gnu::always_inline]] inline __m512 e4m3_to_f32(__m512i byte) {
  const __m512i rest = _mm512_and_si512(byte, _mm512_set1_epi32(0x7f));
  const __mmask16 small = _mm512_cmplt_epi32_mask(rest, _mm512_set1_epi32(8));
  const __m512i exponent = _mm512_mask_set1_epi32(_mm512_set1_epi32(120 << 3), small, 121 << 3);
  __m512 v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(rest, exponent), 20));
  v = _mm512_mask_sub_ps(v, small, v, _mm512_set1_ps(0x1p-6f));
  const __m512i sign = _mm512_slli_epi32(_mm512_xor_si512(byte, rest), 24);
  return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(v), sign));
}

// Quants in the low bytes of 32-bit lanes as numbers, the offset subtracted.
template <DType D>
[[gnu::always_inline]] inline __m512 quants_to_f32(__m512i bytes) {
  constexpr QuantFormat f = quant_format(D);
  if constexpr (f.e4m3) return e4m3_to_f32(bytes);
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(bytes, _mm512_set1_epi32(f.offset)));
}

// Scales of one group: weight = scale[half of k] * quant - min[half of k]. Types without sub-scales per 16 k
// use index 0.
struct Scales {
  __m512 scale[2][2], min[2][2];  // [k half][row half]
};

template <DType D>
[[gnu::always_inline]] inline Scales load_scales(const uint8_t* block, const uint8_t* group) {
  constexpr QuantFormat f = quant_format(D);
  Scales s;
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    __m512 d = f.f32_scale ? _mm512_loadu_ps(block + 64 * h) : load_f16(block + 32 * h);
    __m512 m = _mm512_setzero_ps();
    if constexpr (f.has_min) m = load_f16(block + 64 + 32 * h);
    if constexpr (f.half_scales) {
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const uint8_t* sub = group + 32 * i + 16 * h;
        if constexpr (D == DType::kQ2_K) {
          __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sub)));
          s.scale[i][h] = _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_and_si512(v, _mm512_set1_epi32(15))));
          s.min[i][h] = _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_srli_epi32(v, 4)));
        } else {
          s.scale[i][h] = _mm512_mul_ps(d, load_s8(sub));
        }
      }
    } else if constexpr (f.super_block) {
      s.scale[0][h] = _mm512_mul_ps(d, load_u8(group + 16 * h));
      s.min[0][h] = _mm512_mul_ps(m, load_u8(group + 32 + 16 * h));
    } else {
      s.scale[0][h] = d;
      // Stored as + m; a negated zero changes no sum.
      s.min[0][h] = f.min_is_zero_point ? _mm512_mul_ps(d, m) : _mm512_xor_ps(m, _mm512_set1_ps(-0.0f));
    }
  }
  return s;
}

template <DType D>
[[gnu::always_inline]] inline void prefetch_group(const uint8_t* group) {
  constexpr int kBytes = quant_layout(D).group_bytes;
#pragma GCC unroll 20
  for (int i = 0; i < kBytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(group + kPrefetchAhead + i), _MM_HINT_T0);
  }
}

// sum (+ bias) (+ y) for token t.
[[gnu::always_inline]] inline void store_tile_row(__m512 sum0, __m512 sum1, int t, const TileOutput& out) {
  uint32_t valid = out.rows >= 32 ? 0xffffffffu : (1u << out.rows) - 1;
  __mmask16 m0 = static_cast<__mmask16>(valid), m1 = static_cast<__mmask16>(valid >> 16);
  float* y = out.y + t * out.stride;
  if (out.bias) {
    sum0 = _mm512_add_ps(sum0, _mm512_maskz_loadu_ps(m0, out.bias));
    sum1 = _mm512_add_ps(sum1, _mm512_maskz_loadu_ps(m1, out.bias + 16));
  }
  if (out.accumulate) {
    sum0 = _mm512_add_ps(_mm512_maskz_loadu_ps(m0, y), sum0);
    sum1 = _mm512_add_ps(_mm512_maskz_loadu_ps(m1, y + 16), sum1);
  }
  _mm512_mask_storeu_ps(y, m0, sum0);
  _mm512_mask_storeu_ps(y + 16, m1, sum1);
}

}  // namespace
}  // namespace turgo::avx512
