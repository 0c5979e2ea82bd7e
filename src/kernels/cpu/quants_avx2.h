// AVX2: the planes of a packed group as operands. A vector holds 8 rows (`part` 0 … 3 of the panel) x 4 k
// (`word` = k / 4) as unsigned bytes, offset not subtracted. Compiled a second time for AVX-VNNI.
#pragma once

#include <immintrin.h>

#include "kernels/cpu/gemm_common.h"

namespace turgo::avx2 {
namespace {

[[gnu::always_inline]] inline __m256i load(const uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

[[gnu::always_inline]] inline __m256 load_f16(const uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

// 8 bytes as i32.
[[gnu::always_inline]] inline __m256i load_u8(const uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
[[gnu::always_inline]] inline __m256i load_s8(const uint8_t* p) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

[[gnu::always_inline]] inline __m256i broadcast32(const uint8_t* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}

// Bits 2 * field … + 1 of every byte, moved up by `up` bits.
template <int kField, int kUp>
[[gnu::always_inline]] inline __m256i crumbs(__m256i x) {
  constexpr int kShift = 2 * kField - kUp;
  if constexpr (kShift > 0) x = _mm256_srli_epi16(x, kShift);
  if constexpr (kShift < 0) x = _mm256_slli_epi16(x, -kShift);
  return _mm256_and_si256(x, _mm256_set1_epi8(3 << kUp));
}

// 32 bits -> 32 bytes of `value` or 0.
[[gnu::always_inline]] inline __m256i expand_bits(const uint8_t* p, int value) {
  const __m256i kByteOf = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                           2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i kBitOf = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201u));
  __m256i x = _mm256_and_si256(_mm256_shuffle_epi8(broadcast32(p), kByteOf), kBitOf);
  return _mm256_and_si256(_mm256_cmpeq_epi8(x, kBitOf), _mm256_set1_epi8(static_cast<char>(value)));
}

template <DType D, int kWord>
[[gnu::always_inline]] inline __m256i quants(const uint8_t* group, int part) {
  constexpr QuantFormat f = quant_format(D);
  constexpr QuantLayout l = quant_layout(D);
  const uint8_t* low = group + l.low_offset + part * 32;
  const uint8_t* high = group + l.high_offset;
  __m256i x;
  if constexpr (f.low_bits == 8) {
    x = load(low + kWord * 128);
  } else if constexpr (f.low_bits == 4) {
    x = load(low + kWord % 4 * 128);
    if constexpr (kWord >= 4) x = _mm256_srli_epi16(x, 4);
    x = _mm256_and_si256(x, _mm256_set1_epi8(15));
  } else {
    x = crumbs<kWord % 4, 0>(load(low + kWord / 4 * 128));
  }
  if constexpr (f.high_bits == 1) {
    x = _mm256_or_si256(x, expand_bits(high + kWord * 16 + part * 4, 1 << f.low_bits));
  } else if constexpr (f.high_bits == 2) {
    x = _mm256_or_si256(x, crumbs<kWord % 4, 4>(load(high + part * 32 + kWord / 4 * 128)));
  }
  return x;
}

// e4m3 in the low bytes of 32-bit lanes, the others zero. Subnormals are counted down from 2^-6, so that no
// f32 subnormal comes up.
[[gnu::always_inline]] inline __m256 e4m3_to_f32(__m256i byte) {
  const __m256i rest = _mm256_and_si256(byte, _mm256_set1_epi32(0x7f));
  const __m256i small = _mm256_cmpgt_epi32(_mm256_set1_epi32(8), rest);
  const __m256i exponent =  // one more where small
      _mm256_sub_epi32(_mm256_set1_epi32(120 << 3), _mm256_slli_epi32(small, 3));
  __m256 v = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, exponent), 20));
  v = _mm256_sub_ps(v, _mm256_and_ps(_mm256_castsi256_ps(small), _mm256_set1_ps(0x1p-6f)));
  const __m256i sign = _mm256_slli_epi32(_mm256_xor_si256(byte, rest), 24);
  return _mm256_xor_ps(v, _mm256_castsi256_ps(sign));
}

// Four quants per 32-bit lane (`quants`) as a form from which quant_to_f32 takes one of them: signed where an
// offset is to be subtracted.
template <DType D>
[[gnu::always_inline]] inline __m256i without_offset(__m256i x) {
  constexpr QuantFormat f = quant_format(D);
  if constexpr (f.e4m3 || f.offset == 0) return x;
  return _mm256_sub_epi8(x, _mm256_set1_epi8(static_cast<char>(f.offset)));
}

template <DType D, int kByte>
[[gnu::always_inline]] inline __m256 quant_to_f32(__m256i x) {
  constexpr QuantFormat f = quant_format(D);
  if constexpr (!f.e4m3 && f.offset != 0) {
    if constexpr (kByte < 3) x = _mm256_slli_epi32(x, 24 - 8 * kByte);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(x, 24));
  } else {
    if constexpr (kByte > 0) x = _mm256_srli_epi32(x, 8 * kByte);
    if constexpr (kByte < 3) x = _mm256_and_si256(x, _mm256_set1_epi32(255));
    if constexpr (f.e4m3) return e4m3_to_f32(x);
    return _mm256_cvtepi32_ps(x);  // (x | 2^23) - 2^23 was 5 to 12 % slower on Zen 3
  }
}

// Scales of 8 rows of a group: weight = scale[half of k] * quant - min[half of k]. Types without sub-scales
// per 16 k use index 0.
struct Scales {
  __m256 scale[2], min[2];
};

template <DType D>
[[gnu::always_inline]] inline Scales load_scales(const uint8_t* block, const uint8_t* group, int part) {
  constexpr QuantFormat f = quant_format(D);
  Scales s;
  __m256 d = f.f32_scale ? _mm256_loadu_ps(reinterpret_cast<const float*>(block) + 8 * part)
                         : load_f16(block + 16 * part);
  __m256 m = _mm256_setzero_ps();
  if constexpr (f.has_min) m = load_f16(block + 64 + 16 * part);
  const uint8_t* sub = group + 8 * part;
  if constexpr (D == DType::kQ2_K) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      __m256i v = load_u8(sub + 32 * i);
      s.scale[i] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_and_si256(v, _mm256_set1_epi32(15))));
      s.min[i] = _mm256_mul_ps(m, _mm256_cvtepi32_ps(_mm256_srli_epi32(v, 4)));
    }
  } else if constexpr (f.half_scales) {
    s.scale[0] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(load_s8(sub)));
    s.scale[1] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(load_s8(sub + 32)));
  } else if constexpr (f.super_block) {
    s.scale[0] = _mm256_mul_ps(d, _mm256_cvtepi32_ps(load_u8(sub)));
    s.min[0] = _mm256_mul_ps(m, _mm256_cvtepi32_ps(load_u8(sub + 32)));
  } else {
    s.scale[0] = d;
    // Stored as + m.
    s.min[0] = f.min_is_zero_point ? _mm256_mul_ps(d, m) : _mm256_xor_ps(m, _mm256_set1_ps(-0.0f));
  }
  return s;
}

// Calls body(index of the group, block, group) for the groups of a panel. Of several passes over a panel the
// first one prefetches.
template <DType D, bool kPrefetch = true, class Body>
[[gnu::always_inline]] inline void for_groups(const uint8_t* panel, int64_t groups, Body body) {
  constexpr QuantLayout l = quant_layout(D);
  for (int64_t b = 0; b < groups; b += l.groups_per_block, panel += l.block_bytes) {
    for (int g = 0; g < l.groups_per_block; ++g) {
      const uint8_t* group = panel + l.head_bytes + g * l.group_bytes;
#pragma GCC unroll 32
      for (int i = 0; kPrefetch && i < l.group_bytes; i += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(group + 8192 + i), _MM_HINT_T0);
      }
      body(b + g, panel, group);
    }
  }
}

// Sums of a tile between passes, and their way to y.
constexpr int kMaxTile = 6;

struct alignas(32) Sums {
  float at[kMaxTile][kPanelRows];
};

[[gnu::always_inline]] inline void clear(Sums& sums, int tokens) {
  for (int t = 0; t < tokens; ++t) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) _mm256_store_ps(sums.at[t] + 8 * v, _mm256_setzero_ps());
  }
}

[[gnu::always_inline]] inline void store_tile(const Sums& sums, int tokens, const TileOutput& out) {
  for (int t = 0; t < tokens; ++t) store_sums(sums.at[t], t, out);
}

}  // namespace
}  // namespace turgo::avx2
