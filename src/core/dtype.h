// Element types of tensors, in memory and in files. A quantised type is a block: `block_size` consecutive
// elements of a row stored in `block_bytes` bytes. Names and block layouts of kQ* are GGUF's (ggml-common.h
// conventions); kW* and kF8G64 hold what AWQ, GPTQ, compressed-tensors and fp8 folders say, bits and group
// size in the name (kernels/common/quant_blocks.h). This is the one header of core/ that kernels/ may
// include: plain data, nothing that throws.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace turgo {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kI32,
  kI64,
  kI8,
  kU8,
  kF8E4M3,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kW4G32,
  kW4G64,
  kW4G128,
  kW3G32,
  kW2G32,
  kW8G64,
  kF8G64,
};
inline constexpr int kNumDTypes = 25;

struct DTypeInfo {
  const char* name;     // as printed: "f32", "q4_1"
  int32_t block_size;   // elements per block; 1 for plain types
  int32_t block_bytes;  // bytes per block
};

constexpr DTypeInfo dtype_info(DType t) {
  constexpr DTypeInfo kInfo[kNumDTypes] = {
      {"f32", 1, 4},       {"f16", 1, 2},      {"bf16", 1, 2},     {"i32", 1, 4},     {"i64", 1, 8},
      {"i8", 1, 1},        {"u8", 1, 1},       {"f8_e4m3", 1, 1},  {"q4_0", 32, 18},  {"q4_1", 32, 20},
      {"q5_0", 32, 22},    {"q5_1", 32, 24},   {"q8_0", 32, 34},   {"q2_k", 256, 84}, {"q3_k", 256, 110},
      {"q4_k", 256, 144},  {"q5_k", 256, 176}, {"q6_k", 256, 210}, {"w4g32", 32, 20}, {"w4g64", 64, 36},
      {"w4g128", 128, 68}, {"w3g32", 32, 16},  {"w2g32", 32, 12},  {"w8g64", 64, 68}, {"f8g64", 64, 68},
  };
  return kInfo[static_cast<int>(t)];
}

constexpr bool is_quantized(DType t) {
  return dtype_info(t).block_size > 1;
}

// Weights that may meet int8 activations; float weights take bf16 ones.
constexpr bool has_integer_weights(DType t) {
  return is_quantized(t) && t != DType::kF8G64;
}

// Bytes of one row of `n` elements; n must be a multiple of the block size (readers check it).
constexpr int64_t row_bytes(DType t, int64_t n) {
  return n / dtype_info(t).block_size * dtype_info(t).block_bytes;
}

// Short floats are storage only; arithmetic happens in f32. e4m3: four bits of exponent, three of mantissa,
// no infinity, one NaN per sign (the "fn" variant of OCP's 8-bit formats: float8_e4m3fn).
struct e4m3 {
  uint8_t bits;
};
inline constexpr float kE4m3Max = 448;

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2 && sizeof(e4m3) == 1);

constexpr float to_f32(bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}

// Round to nearest even; NaN stays NaN.
constexpr bf16 to_bf16(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>((u >> 16) | 0x40)};
  return {static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}

constexpr float to_f32(f16 h) {
  uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000) << 16;
  uint32_t exp = (h.bits >> 10) & 0x1f, man = h.bits & 0x3ff;
  if (exp == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (man << 13));
  if (exp != 0) return std::bit_cast<float>(sign | ((exp + 112) << 23) | (man << 13));
  // Subnormal: man * 2^-24, exact in f32.
  float f = static_cast<float>(man) * 0x1p-24f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(f) | sign);
}

// Round to nearest even; overflow becomes infinity.
constexpr f16 to_f16(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000);
  u &= 0x7fffffffu;
  if (u > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (u >= 0x47800000u) return {static_cast<uint16_t>(sign | 0x7c00)};
  if (u < 0x38800000u) {  // subnormal or zero: the f32 adder rounds for us
    float f = std::bit_cast<float>(u) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(f) - 0x3f000000u))};
  }
  u += 0xc8000fffu + ((u >> 13) & 1);  // rebias the exponent by -112 and round half to even
  return {static_cast<uint16_t>(sign | (u >> 13))};
}

constexpr float to_f32(e4m3 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x80) << 24, rest = x.bits & 0x7f;
  if (rest == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (rest >= 8) return std::bit_cast<float>(sign | ((rest << 20) + (120u << 23)));
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(static_cast<float>(rest) * 0x1p-9f));
}

// Round to nearest even; beyond 448 (infinity too) becomes 448, NaN stays NaN.
constexpr e4m3 to_e4m3(float x) {
  uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (u >> 24) & 0x80;
  u &= 0x7fffffffu;
  uint32_t rest;
  if (u > 0x7f800000u) {
    rest = 0x7f;
  } else if (u >= std::bit_cast<uint32_t>(kE4m3Max)) {
    rest = 0x7e;
  } else if (u < 0x3c800000u) {  // below 2^-6: the f32 adder rounds to multiples of 2^-9
    rest = std::bit_cast<uint32_t>(std::bit_cast<float>(u) + 0x1p14f) - 0x46800000u;
  } else {
    rest = ((u + 0x7ffffu + ((u >> 20) & 1)) >> 20) - (120u << 3);
  }
  return {static_cast<uint8_t>(sign | rest)};
}

}  // namespace turgo
