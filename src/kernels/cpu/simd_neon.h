// Four lanes of Advanced SIMD with the dot product of bytes (Armv8.2 FEAT_DotProd); members as in
// simd_scalar.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace turgo {
namespace {

struct SimdNeon {
  static constexpr int kLanes = 4;
  static constexpr int kTileRows = 4, kTileVectors = 4;  // 16 sums, 4 vectors of the page, 1 broadcast
  static constexpr bool kHasBf16Dot = false;
  static constexpr bool kHasByteDot = true;

  using F = float32x4_t;
  using I = int32x4_t;
  using Mask = uint32x4_t;

  static F load(const float* p) { return vld1q_f32(p); }
  static F load_partial(const float* p, int64_t n) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < n; ++i) lanes[i] = p[i];
    return vld1q_f32(lanes);
  }
  static void store(float* p, F v) { vst1q_f32(p, v); }
  static void store_partial(float* p, F v, int64_t n) {
    float lanes[kLanes];
    vst1q_f32(lanes, v);
    for (int64_t i = 0; i < n; ++i) p[i] = lanes[i];
  }
  static F set1(float x) { return vdupq_n_f32(x); }
  static F zero() { return set1(0); }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  // As x86: the second operand when one is NaN.
  static F min(F a, F b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
  static F max(F a, F b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
  static F abs(F a) { return vabsq_f32(a); }
  static F copy_sign(F magnitude, F sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude); }
  static float reduce_add(F v) { return vaddvq_f32(v); }
  static float reduce_max(F v) { return vmaxvq_f32(v); }

  static Mask less(F a, F b) { return vcltq_f32(a, b); }
  static Mask mask_from_bits(uint64_t bits) {
    const Mask lanes = {1, 2, 4, 8};
    return vtstq_u32(vdupq_n_u32(static_cast<uint32_t>(bits)), lanes);
  }
  static F select(Mask m, F yes, F no) { return vbslq_f32(m, yes, no); }

  static I load_int(const void* p) { return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p))); }
  static void store_int(void* p, I v) { vst1q_u8(static_cast<uint8_t*>(p), vreinterpretq_u8_s32(v)); }
  static I set1_int(int32_t x) { return vdupq_n_s32(x); }
  static I set1_word(const float* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return set1_int(word);
  }
  static I add_int(I a, I b) { return vaddq_s32(a, b); }
  static I and_int(I a, I b) { return vandq_s32(a, b); }
  static F iota() { return F{0, 1, 2, 3}; }
  static F to_float(I v) { return vcvtq_f32_s32(v); }
  template <int N>
  static I shift_left(I v) {
    return vshlq_n_s32(v, N);
  }
  static F cast_f(I v) { return vreinterpretq_f32_s32(v); }
  static I cast_i(F v) { return vreinterpretq_s32_f32(v); }

  static F bf16_low(I pairs) { return cast_f(vshlq_n_s32(pairs, 16)); }
  static F bf16_high(I pairs) { return cast_f(and_int(pairs, set1_int(static_cast<int32_t>(0xffff0000)))); }
  static F load_bf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
  static I nibbles(I v, bool high) {
    const uint8x16_t bytes = vreinterpretq_u8_s32(v);
    return vreinterpretq_s32_u8(high ? vshrq_n_u8(bytes, 4) : vandq_u8(bytes, vdupq_n_u8(15)));
  }
  // sdot takes signed bytes on both sides: (u - 128) . q, and 128 times the sum of q, which depends on the
  // row alone and leaves the loop over columns.
  static I dot_u8s8(I acc, I bytes, I q) {
    const int8x16_t factors = vreinterpretq_s8_s32(q);
    const I sum = vdotq_s32(vdupq_n_s32(0), factors, vdupq_n_s8(1));
    const uint8x16_t flipped = veorq_u8(vreinterpretq_u8_s32(bytes), vdupq_n_u8(0x80));
    return vdotq_s32(vaddq_s32(acc, vshlq_n_s32(sum, 7)), vreinterpretq_s8_u8(flipped), factors);
  }
  static void store_factors(void* words, int64_t n, int64_t i, I v) {
    auto* high = static_cast<int8_t*>(words) + i;
    store_bytes(high, vshrq_n_s32(vaddq_s32(v, vdupq_n_s32(128)), 8));
    store_bytes(high + n, v);
  }

 private:
  static void store_bytes(int8_t* p, I v) {
    const int16x4_t halves = vmovn_s32(v);
    const int8x8_t bytes = vmovn_s16(vcombine_s16(halves, halves));
    __builtin_memcpy(p, &bytes, 4);
  }
};

}  // namespace
}  // namespace turgo
