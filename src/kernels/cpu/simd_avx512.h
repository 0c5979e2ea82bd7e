// Sixteen lanes of AVX-512 (F, BW, DQ, VL, VNNI, BF16); members as in simd_scalar.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace turgo {
namespace {

struct SimdAvx512 {
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 6, kTileVectors = 4;  // 24 sums, 4 vectors of the page, 1 broadcast
  static constexpr bool kHasBf16Dot = true;
  static constexpr bool kHasByteDot = true;

  using F = __m512;
  using I = __m512i;
  using Mask = __mmask16;

  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static F load_partial(const float* p, int64_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(float* p, F v) { _mm512_storeu_ps(p, v); }
  static void store_partial(float* p, F v, int64_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F zero() { return _mm512_setzero_ps(); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F copy_sign(F magnitude, F sign) {
    const F bit = set1(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
  }
  static float reduce_add(F v) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
  }
  static float reduce_max(F v) {
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
  }

  static Mask less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static Mask mask_from_bits(uint64_t bits) { return static_cast<Mask>(bits); }
  static F select(Mask m, F yes, F no) { return _mm512_mask_blend_ps(m, no, yes); }

  static I load_int(const void* p) { return _mm512_loadu_si512(p); }
  static void store_int(void* p, I v) { _mm512_storeu_si512(p, v); }
  static I set1_int(int32_t x) { return _mm512_set1_epi32(x); }
  static I set1_word(const float* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
  }
  static I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
  static I and_int(I a, I b) { return _mm512_and_si512(a, b); }
  static F iota() { return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
  static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  template <int N>
  static I shift_left(I v) {
    return _mm512_slli_epi32(v, N);
  }
  static F cast_f(I v) { return _mm512_castsi512_ps(v); }
  static I cast_i(F v) { return _mm512_castps_si512(v); }

  static F load_bf16(const uint16_t* p) {
    return cast_f(_mm512_slli_epi32(
        _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
  }
  // Lanes of low, then of high, as consecutive bf16: round to nearest even, subnormals to zero.
  static void store_bf16_pairs(float* p, F low, F high) {
    _mm512_storeu_si512(p, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
  }
  static F dot_bf16(F acc, I a, I b) {
    return _mm512_dpbf16_ps(acc, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
  static F add_bf16_pairs(F acc, const float* p) { return dot_bf16(acc, load_int(p), set1_int(0x3f803f80)); }

  static I nibbles(I v, bool high) {
    return and_int(high ? _mm512_srli_epi16(v, 4) : v, _mm512_set1_epi8(15));
  }
  static I dot_u8s8(I acc, I bytes, I q) { return _mm512_dpbusd_epi32(acc, bytes, q); }
  static void store_factors(void* words, int64_t n, int64_t i, I v) {
    auto* high = static_cast<int8_t*>(words) + i;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(high),
                     _mm512_cvtepi32_epi8(_mm512_srai_epi32(add_int(v, set1_int(128)), 8)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(high + n), _mm512_cvtepi32_epi8(v));
  }

 private:
  static Mask first(int64_t n) { return static_cast<Mask>((1u << n) - 1); }
};

}  // namespace
}  // namespace turgo
