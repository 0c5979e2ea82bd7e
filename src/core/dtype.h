// Element types of tensors, in memory and in files. A quantised type is a block: `block_size` consecutive
// elements of a row stored in `block_bytes` bytes. Names and block layouts of kQ* are GGUF's (ggml-common.h
// conventions); kW* hold what AWQ, GPTQ and compressed-tensors folders say, bits and group size in the name
// (kernels/common/quant_blocks.h). This is the one header of core/ that kernels/ may include: plain data,
// nothing that throws.
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
};
inline constexpr int kNumDTypes = 23;

struct DTypeInfo {
  const char* name;     // as printed: "f32", "q4_1"
  int32_t block_size;   // elements per block; 1 for plain types
  int32_t block_bytes;  // bytes per block
};

constexpr DTypeInfo dtype_info(DType t) {
  constexpr DTypeInfo kInfo[kNumDTypes] = {
      {"f32", 1, 4},      {"f16", 1, 2},      {"bf16", 1, 2},    {"i32", 1, 4},      {"i64", 1, 8},
      {"i8", 1, 1},       {"u8", 1, 1},       {"q4_0", 32, 18},  {"q4_1", 32, 20},   {"q5_0", 32, 22},
      {"q5_1", 32, 24},   {"q8_0", 32, 34},   {"q2_k", 256, 84}, {"q3_k", 256, 110}, {"q4_k", 256, 144},
      {"q5_k", 256, 176}, {"q6_k", 256, 210}, {"w4g32", 32, 20}, {"w4g64", 64, 36},  {"w4g128", 128, 68},
      {"w3g32", 32, 16},  {"w2g32", 32, 12},  {"w8g64", 64, 68},
  };
  return kInfo[static_cast<int>(t)];
}

constexpr bool is_quantized(DType t) {
  return dtype_info(t).block_size > 1;
}

// Bytes of one row of `n` elements; n must be a multiple of the block size (readers check it).
constexpr int64_t row_bytes(DType t, int64_t n) {
  return n / dtype_info(t).block_size * dtype_info(t).block_bytes;
}

// 16-bit floats are storage only; arithmetic happens in f32.
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};
static_assert(sizeof(bf16) == 2 && sizeof(f16) == 2);

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

}  // namespace turgo
