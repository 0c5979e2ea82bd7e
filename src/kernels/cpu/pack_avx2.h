// AVX2: activations to kInt8 and kBF16 records; bit for bit those of gemm_common.h for finite kInt8 inputs.
#pragma once

#include "kernels/cpu/quants_avx2.h"

namespace turgo::avx2 {
namespace {

[[gnu::always_inline]] inline int32_t sum_lanes(__m256i x) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

[[gnu::always_inline]] inline float sum_lanes(__m256 x) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// 32 f32 of token t to a kInt8 record.
[[gnu::always_inline]] inline void quantize_vectors(const float* x, int64_t tokens, int64_t t,
                                                    uint8_t* record) {
  const __m256 kMagnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
  __m256 v[4];
  __m256i max8 = _mm256_setzero_si256();
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    max8 = _mm256_max_epu32(max8, _mm256_castps_si256(_mm256_and_ps(v[i], kMagnitude)));
  }
  __m128i max4 = _mm_max_epu32(_mm256_castsi256_si128(max8), _mm256_extracti128_si256(max8, 1));
  max4 = _mm_max_epu32(max4, _mm_shuffle_epi32(max4, 0x4e));
  max4 = _mm_max_epu32(max4, _mm_shuffle_epi32(max4, 0xb1));
  float absmax = _mm_cvtss_f32(_mm_castsi128_ps(max4));
  bool tiny = absmax < kTinyAbsmax;
  float scale = tiny ? 0.0f : absmax / 127.0f;
  __m256 inverse = _mm256_set1_ps(tiny ? 0.0f : 127.0f / absmax);
  __m256i q[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
    q[i] = _mm256_max_epi32(q[i], _mm256_set1_epi32(-127));  // NaN and infinity
  }
  int32_t low = sum_lanes(_mm256_add_epi32(q[0], q[1]));
  int32_t sum = low + sum_lanes(_mm256_add_epi32(q[2], q[3]));
  // Packing works per 128-bit lane, so the words come out as 0 2 4 6 1 3 5 7.
  __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  alignas(32) int32_t words[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), bytes);
  auto* out = reinterpret_cast<int32_t*>(record) + t;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) out[(i % 4 * 2 + i / 4) * tokens] = words[i];
  auto* scales = reinterpret_cast<float*>(record + 32 * tokens);
  auto* offsets = reinterpret_cast<int32_t*>(record + 40 * tokens);
  scales[t] = scale;
  scales[tokens + t] = scale * static_cast<float>(sum);
  offsets[t] = -8 * sum;
  offsets[tokens + t] = -8 * low;
}

// 32 f32 of token t to a kBF16 record.
[[gnu::always_inline]] inline void round_vectors(const float* x, int64_t tokens, int64_t t, uint8_t* record) {
  const __m256i kOne = _mm256_set1_epi32(1), kHalf = _mm256_set1_epi32(0x7fff);
  __m256i bits[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    __m256 v = _mm256_loadu_ps(x + 8 * i);
    __m256i u = _mm256_castps_si256(v);
    __m256i even = _mm256_and_si256(_mm256_srli_epi32(u, 16), kOne);
    __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(even, kHalf));
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(u, _mm256_set1_epi32(0x400000)), nan);
    bits[i] = _mm256_and_si256(rounded, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000u)));
  }
  auto* sums = reinterpret_cast<float*>(record + 64 * tokens);
  sums[t] = sum_lanes(_mm256_add_ps(_mm256_castsi256_ps(bits[0]), _mm256_castsi256_ps(bits[1])));
  sums[tokens + t] = sum_lanes(_mm256_add_ps(_mm256_castsi256_ps(bits[2]), _mm256_castsi256_ps(bits[3])));
  auto* out = reinterpret_cast<int32_t*>(record) + t;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    // Lanes k, k + 1, k + 2, k + 3 -> pairs (k, k + 2), (k + 1, k + 3) in lanes 0, 1 of each 128 bits.
    __m256i upper = _mm256_shuffle_epi32(bits[i], 0x0e);
    __m256i pairs = _mm256_or_si256(_mm256_srli_epi32(bits[i], 16), upper);
    __m128i a = _mm256_castsi256_si128(pairs), b = _mm256_extracti128_si256(pairs, 1);
    out[(4 * i + 0) * tokens] = _mm_cvtsi128_si32(a);
    out[(4 * i + 1) * tokens] = _mm_extract_epi32(a, 1);
    out[(4 * i + 2) * tokens] = _mm_cvtsi128_si32(b);
    out[(4 * i + 3) * tokens] = _mm_extract_epi32(b, 1);
  }
}

// Tiles of a 16-bit or 8-bit precision; kF32 only moves numbers and stays with pack_tiles.
template <Precision kPrecision>
void pack_vectors(int64_t tile, const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t tile_begin,
                  int64_t tile_end, std::byte* dst) {
  constexpr int64_t kBytes = group_bytes(kPrecision);
  int64_t groups = (k + kGroupK - 1) / kGroupK;
  for (int64_t i = tile_begin; i < tile_end; ++i) {
    auto* records = reinterpret_cast<uint8_t*>(dst) + i * groups * kBytes * tile;
    int64_t tokens = m - i * tile < tile ? m - i * tile : tile;
    for (int64_t t = 0; t < tokens; ++t) {
      const float* row = x + (i * tile + t) * x_stride;
      for (int64_t g = 0; g < groups; ++g) {
        const float* group = row + g * kGroupK;
        float padded[kGroupK];
        if (k - g * kGroupK < kGroupK) {
          for (int64_t j = 0; j < kGroupK; ++j) padded[j] = g * kGroupK + j < k ? group[j] : 0.0f;
          group = padded;
        }
        uint8_t* record = records + g * kBytes * tokens;
        if constexpr (kPrecision == Precision::kInt8) {
          quantize_vectors(group, tokens, t, record);
        } else {
          round_vectors(group, tokens, t, record);
        }
      }
    }
  }
}

}  // namespace
}  // namespace turgo::avx2
