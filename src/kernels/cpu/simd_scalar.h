// The portable vector of the row and attention kernels: four lanes by the compilers' vector extension, which
// any CPU can run. simd_avx2.h and simd_avx512.h have the same members with wider vectors; kernels are
// templates over one of these types ("V").
//
// The types live in an unnamed namespace on purpose: every template that takes one then has internal linkage,
// so that the linker can never let a baseline file call a copy that was compiled for AVX-512.
#pragma once

#include <cstdint>

namespace turgo {
namespace {  // NOLINT: see above

struct SimdScalar {
  static constexpr int kLanes = 4;
  static constexpr int kTileRows = 4, kTileVectors = 2;  // register tile of attention
  static constexpr bool kHasBf16Dot = false;             // dot_bf16(): pairs, rounded q and probabilities
  static constexpr bool kHasByteDot = false;             // dot_u8s8()

  typedef float F __attribute__((vector_size(16)));
  typedef int32_t I __attribute__((vector_size(16)));
  typedef uint32_t U __attribute__((vector_size(16)));
  typedef I Mask;

  static F load(const float* p) { return load_as<F>(p); }
  static F load_partial(const float* p, int64_t n) {  // lanes past n are zero
    F v = {0, 0, 0, 0};
    for (int64_t i = 0; i < n; ++i) v[i] = p[i];
    return v;
  }
  static void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof v); }
  static void store_partial(float* p, F v, int64_t n) {
    for (int64_t i = 0; i < n; ++i) p[i] = v[i];
  }
  static F set1(float x) { return F{x, x, x, x}; }
  static F zero() { return set1(0); }
  static F add(F a, F b) { return a + b; }
  static F sub(F a, F b) { return a - b; }
  static F mul(F a, F b) { return a * b; }
  static F div(F a, F b) { return a / b; }
  static F fma(F a, F b, F c) { return a * b + c; }
  // As x86: the second operand when one is NaN.
  static F min(F a, F b) { return a < b ? a : b; }
  static F max(F a, F b) { return a > b ? a : b; }
  static F abs(F a) { return cast_f(cast_i(a) & 0x7fffffff); }
  static F copy_sign(F magnitude, F sign) {
    return cast_f(cast_i(abs(magnitude)) | (cast_i(sign) & kSignBit));
  }
  static float reduce_add(F v) { return (v[0] + v[2]) + (v[1] + v[3]); }
  static float reduce_max(F v) {
    const float a = v[0] > v[2] ? v[0] : v[2], b = v[1] > v[3] ? v[1] : v[3];
    return a > b ? a : b;
  }

  static Mask less(F a, F b) { return a < b; }
  static Mask mask_from_bits(uint64_t bits) {  // lane i = bit i
    const I b = I{1, 2, 4, 8} & static_cast<int32_t>(bits & 15);
    return b != 0;
  }
  static F select(Mask m, F yes, F no) { return m ? yes : no; }

  static I load_int(const void* p) { return load_as<I>(p); }
  static void store_int(void* p, I v) { __builtin_memcpy(p, &v, sizeof v); }
  static I set1_int(int32_t x) { return I{x, x, x, x}; }
  static I add_int(I a, I b) { return a + b; }
  static I and_int(I a, I b) { return a & b; }
  static F iota() { return F{0, 1, 2, 3}; }
  static F to_float(I v) { return __builtin_convertvector(v, F); }
  template <int N>
  static I shift_left(I v) {
    return v << N;
  }
  static F cast_f(I v) { return reinterpret_cast<F>(v); }
  static I cast_i(F v) { return reinterpret_cast<I>(v); }

  // Both halves of bf16 pairs as f32.
  static F bf16_low(I pairs) { return cast_f(pairs << 16); }
  static F bf16_high(I pairs) { return cast_f(pairs & static_cast<int32_t>(0xffff0000)); }
  static F load_bf16(const uint16_t* p) {
    return cast_f(I{p[0] << 16, p[1] << 16, p[2] << 16, static_cast<int32_t>(uint32_t{p[3]} << 16)});
  }
  static I nibbles(I v, bool high) { return (high ? v >> 4 : v) & 0x0f0f0f0f; }

  // acc + sum of the four bytes of each lane times four s16: q02 holds factors 0 (low half) and 2, q13 1
  // and 3.
  static I dot_u8s16(I acc, I bytes, int32_t q02, int32_t q13) {
    return acc + (bytes & 255) * int32_t{static_cast<int16_t>(q02)} +
           (bytes >> 8 & 255) * int32_t{static_cast<int16_t>(q13)} + (bytes >> 16 & 255) * (q02 >> 16) +
           (bytes >> 24 & 255) * (q13 >> 16);
  }
  // Stores lanes v as factors i … of n in the form that the dot takes (attention_tile.h).
  static void store_factors(void* words, int64_t, int64_t i, I v) {
    constexpr int kPlace[4] = {0, 2, 1, 3};
    int16_t halves[4];
    for (int j = 0; j < 4; ++j) halves[kPlace[j]] = static_cast<int16_t>(v[j]);
    __builtin_memcpy(static_cast<int16_t*>(words) + i, halves, sizeof halves);
  }

 private:
  static constexpr int32_t kSignBit = INT32_MIN;
  template <class T>
  static T load_as(const void* p) {
    T v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
  }
};

}  // namespace
}  // namespace turgo
