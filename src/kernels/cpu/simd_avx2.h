// Eight lanes of AVX2 with FMA; members as in simd_scalar.h. Compiled with AVX-VNNI it also has the byte dot.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace turgo {
namespace {

struct SimdAvx2 {
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 6, kTileVectors = 2;  // 12 sums, 2 vectors of the page, 1 broadcast
  static constexpr bool kHasBf16Dot = false;
#ifdef __AVXVNNI__
  static constexpr bool kHasByteDot = true;
#else
  static constexpr bool kHasByteDot = false;
#endif

  using F = __m256;
  using I = __m256i;
  using Mask = __m256;

  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static F load_partial(const float* p, int64_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(float* p, F v) { _mm256_storeu_ps(p, v); }
  static void store_partial(float* p, F v, int64_t n) { _mm256_maskstore_ps(p, first(n), v); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F zero() { return _mm256_setzero_ps(); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F abs(F a) { return _mm256_andnot_ps(set1(-0.0f), a); }
  static F copy_sign(F magnitude, F sign) {
    return _mm256_or_ps(abs(magnitude), _mm256_and_ps(set1(-0.0f), sign));
  }
  static float reduce_add(F v) {
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
  }
  static float reduce_max(F v) {
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
  }

  static Mask less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static Mask mask_from_bits(uint64_t bits) {
    const I lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const I word = _mm256_set1_epi32(static_cast<int32_t>(bits & 255));
    return cast_f(_mm256_cmpeq_epi32(_mm256_and_si256(word, lanes), lanes));
  }
  static F select(Mask m, F yes, F no) { return _mm256_blendv_ps(no, yes, m); }

  static I load_int(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static void store_int(void* p, I v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
  static I set1_int(int32_t x) { return _mm256_set1_epi32(x); }
  static I set1_word(const float* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
  }
  static I add_int(I a, I b) { return _mm256_add_epi32(a, b); }
  static I and_int(I a, I b) { return _mm256_and_si256(a, b); }
  static F iota() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
  static F to_float(I v) { return _mm256_cvtepi32_ps(v); }
  template <int N>
  static I shift_left(I v) {
    return _mm256_slli_epi32(v, N);
  }
  static F cast_f(I v) { return _mm256_castsi256_ps(v); }
  static I cast_i(F v) { return _mm256_castps_si256(v); }

  static F bf16_low(I pairs) { return cast_f(_mm256_slli_epi32(pairs, 16)); }
  static F bf16_high(I pairs) { return cast_f(and_int(pairs, set1_int(static_cast<int32_t>(0xffff0000)))); }
  static F load_bf16(const uint16_t* p) {
    return cast_f(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), 16));
  }
  static I nibbles(I v, bool high) {
    return and_int(high ? _mm256_srli_epi16(v, 4) : v, _mm256_set1_epi8(15));
  }
#ifdef __AVXVNNI__
  static I dot_u8s8(I acc, I bytes, I q) { return _mm256_dpbusd_avx_epi32(acc, bytes, q); }
  static void store_factors(void* words, int64_t n, int64_t i, I v) {
    auto* high = static_cast<int8_t*>(words) + i;
    _mm_storel_epi64(reinterpret_cast<__m128i*>(high),
                     to_bytes(_mm256_srai_epi32(add_int(v, set1_int(128)), 8)));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(high + n),
                     to_bytes(_mm256_srai_epi32(_mm256_slli_epi32(v, 24), 24)));
  }
#else
  static void store_factors(void* words, int64_t, int64_t i, I v) {
    const I halves = _mm256_packs_epi32(v, v);  // 0 1 2 3 of each 128 bits, twice
    const I placed = _mm256_shufflelo_epi16(halves, _MM_SHUFFLE(3, 1, 2, 0));
    const __m128i both =
        _mm_unpacklo_epi64(_mm256_castsi256_si128(placed), _mm256_extracti128_si256(placed, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(static_cast<int16_t*>(words) + i), both);
  }
#endif
  // Bytes widened to s16: maddubs would saturate at 255 * 127 * 2.
  static I dot_u8s16(I acc, I bytes, int32_t q02, int32_t q13) {
    const I even = and_int(bytes, set1_int(0x00ff00ff)), odd = _mm256_srli_epi16(bytes, 8);
    acc = add_int(acc, _mm256_madd_epi16(even, set1_int(q02)));
    return add_int(acc, _mm256_madd_epi16(odd, set1_int(q13)));
  }

 private:
#ifdef __AVXVNNI__
  static __m128i to_bytes(I v) {  // eight s8 in the low half
    const I halves = _mm256_packs_epi32(v, v), bytes = _mm256_packs_epi16(halves, halves);
    return _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
  }
#endif
  static I first(int64_t n) {
    return _mm256_cmpgt_epi32(set1_int(static_cast<int32_t>(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace
}  // namespace turgo
