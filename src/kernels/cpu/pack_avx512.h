// AVX-512: activations to kInt8 and kBF16 records; bit for bit those of gemm_common.h for finite kInt8
// inputs.
#pragma once

#include "kernels/cpu/quants_avx512.h"

namespace turgo::avx512 {
namespace {

// 32 f32 of token t, in two vectors, to a kInt8 record.
[[gnu::always_inline]] inline void quantize_vectors(__m512 x0, __m512 x1, int64_t tokens, int64_t t,
                                                    uint8_t* record) {
  const __m512i kMagnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i a0 = _mm512_and_si512(_mm512_castps_si512(x0), kMagnitude);
  __m512i a1 = _mm512_and_si512(_mm512_castps_si512(x1), kMagnitude);
  __m512i max16 = _mm512_max_epu32(a0, a1);
  __m256i max8 = _mm256_max_epu32(_mm512_castsi512_si256(max16), _mm512_extracti64x4_epi64(max16, 1));
  __m128i max4 = _mm_max_epu32(_mm256_castsi256_si128(max8), _mm256_extracti128_si256(max8, 1));
  max4 = _mm_max_epu32(max4, _mm_shuffle_epi32(max4, 0x4e));
  max4 = _mm_max_epu32(max4, _mm_shuffle_epi32(max4, 0xb1));
  float absmax = _mm_cvtss_f32(_mm_castsi128_ps(max4));
  bool tiny = absmax < kTinyAbsmax;
  float scale = tiny ? 0.0f : absmax / 127.0f;
  __m512 inverse = _mm512_set1_ps(tiny ? 0.0f : 127.0f / absmax);
  const __m512i kLowest = _mm512_set1_epi32(-127);  // what NaN and infinity become
  __m512i q0 = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse)), kLowest);
  __m512i q1 = _mm512_max_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse)), kLowest);
  __m128i b0 = _mm512_cvtsepi32_epi8(q0), b1 = _mm512_cvtsepi32_epi8(q1);
  // Sums of 4, then of 16.
  const __m128i kOnes = _mm_set1_epi8(1);
  __m128i s0 = _mm_dpbusd_epi32(_mm_setzero_si128(), kOnes, b0);
  __m128i s1 = _mm_dpbusd_epi32(_mm_setzero_si128(), kOnes, b1);
  __m128i s = _mm_hadd_epi32(s0, s1);
  s = _mm_hadd_epi32(s, s);
  int32_t low = _mm_cvtsi128_si32(s), sum = low + _mm_extract_epi32(s, 1);
  alignas(32) int32_t words[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(words), b0);
  _mm_store_si128(reinterpret_cast<__m128i*>(words + 4), b1);
  auto* out = reinterpret_cast<int32_t*>(record) + t;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) out[i * tokens] = words[i];
  auto* scales = reinterpret_cast<float*>(record + 32 * tokens);
  auto* offsets = reinterpret_cast<int32_t*>(record + 40 * tokens);
  scales[t] = scale;
  scales[tokens + t] = scale * static_cast<float>(sum);
  offsets[t] = -8 * sum;
  offsets[tokens + t] = -8 * low;
}

// 32 f32 of token t to a kBF16 record.
[[gnu::always_inline]] inline void round_vectors(__m512 x0, __m512 x1, int64_t tokens, int64_t t,
                                                 uint8_t* record) {
  alignas(64) static constexpr uint16_t kPairs[32] = {0,  2,  1,  3,  4,  6,  5,  7,  8,  10, 9,
                                                      11, 12, 14, 13, 15, 16, 18, 17, 19, 20, 22,
                                                      21, 23, 24, 26, 25, 27, 28, 30, 29, 31};
  __m512i rounded = __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(x1, x0));
  __m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(rounded));
  __m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(rounded, 1));
  alignas(64) int32_t pairs[16];
  _mm512_store_si512(pairs, _mm512_permutexvar_epi16(_mm512_load_si512(kPairs), rounded));
  auto* out = reinterpret_cast<int32_t*>(record) + t;
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) out[i * tokens] = pairs[i];
  auto* sums = reinterpret_cast<float*>(record + 64 * tokens);
  sums[t] = _mm512_reduce_add_ps(_mm512_castsi512_ps(_mm512_slli_epi32(low, 16)));
  sums[tokens + t] = _mm512_reduce_add_ps(_mm512_castsi512_ps(_mm512_slli_epi32(high, 16)));
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
        int64_t left = k - g * kGroupK;
        uint32_t valid = left >= kGroupK ? 0xffffffffu : (1u << left) - 1;
        __m512 x0 = _mm512_maskz_loadu_ps(static_cast<__mmask16>(valid), row + g * kGroupK);
        __m512 x1 = _mm512_maskz_loadu_ps(static_cast<__mmask16>(valid >> 16), row + g * kGroupK + 16);
        uint8_t* record = records + g * kBytes * tokens;
        if constexpr (kPrecision == Precision::kInt8) {
          quantize_vectors(x0, x1, tokens, t, record);
        } else {
          round_vectors(x0, x1, tokens, t, record);
        }
      }
    }
  }
}

}  // namespace
}  // namespace turgo::avx512
