// Random rows in a file format, for tests and benchmarks only: every quant and sub-scale is random, the f16
// scales are sane (or hostile on request).
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "core/dtype.h"

namespace turgo {

enum class ScaleKind { kNormal, kZero, kSubnormal, kMixed };

struct TestRows {
  DType dtype;
  int64_t n, k;
  std::vector<uint8_t> bytes;  // n rows of row_bytes(dtype, k)

  int64_t stride() const { return row_bytes(dtype, k); }
  const uint8_t* row(int64_t i) const { return bytes.data() + i * stride(); }
};

// Byte offsets of d and of m (or dmin) in a block; -1: none.
struct ScaleFields {
  int d, m;
};

inline ScaleFields scale_fields(DType t) {
  switch (t) {
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
    case DType::kW4G32:
    case DType::kW4G64:
    case DType::kW4G128:
    case DType::kW3G32:
    case DType::kW2G32:
      return {0, 2};
    case DType::kW8G64:  // an f32: its upper half decides
    case DType::kF8G64:
      return {2, -1};
    case DType::kQ2_K:
      return {80, 82};
    case DType::kQ3_K:
      return {108, -1};
    case DType::kQ6_K:
      return {208, -1};
    default:
      return {0, -1};
  }
}

inline TestRows random_rows(DType t, int64_t n, int64_t k, uint32_t seed,
                            ScaleKind kind = ScaleKind::kNormal) {
  TestRows rows{t, n, k, {}};
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0.0f, 0.05f);
  rows.bytes.resize(static_cast<size_t>(n * rows.stride()));
  if (!is_quantized(t)) {
    for (int64_t i = 0; i < n * k; ++i) {
      float v = normal(rng);
      uint16_t half = t == DType::kF16 ? to_f16(v).bits : to_bf16(v).bits;
      uint8_t* p = rows.bytes.data() + i * dtype_info(t).block_bytes;
      if (t == DType::kF32) {
        std::memcpy(p, &v, 4);
      } else {
        std::memcpy(p, &half, 2);
      }
    }
    return rows;
  }
  for (uint8_t& b : rows.bytes) b = static_cast<uint8_t>(rng());
  if (t == DType::kF8G64) {
    for (uint8_t& b : rows.bytes) b = (b & 0x7f) == 0x7f ? b ^ 1 : b;  // no NaN
  }
  ScaleFields f = scale_fields(t);
  int64_t block = dtype_info(t).block_bytes;
  for (int64_t i = 0; i < static_cast<int64_t>(rows.bytes.size()) / block; ++i) {
    for (int field : {f.d, f.m}) {
      if (field < 0) continue;
      ScaleKind now = kind;
      if (kind == ScaleKind::kMixed) now = static_cast<ScaleKind>(rng() % 3);
      float v = normal(rng);
      uint16_t bits = now == ScaleKind::kZero        ? uint16_t{0}
                      : now == ScaleKind::kSubnormal ? static_cast<uint16_t>(rng() & 0x83ff)
                      : f.d == 2                     ? to_bf16(v).bits
                                                     : to_f16(v).bits;
      std::memcpy(rows.bytes.data() + i * block + field, &bits, 2);
    }
  }
  return rows;
}

// The same rows with every m (dmin) zero: what tells the size of the scale term and of the min term apart.
inline TestRows without_mins(TestRows rows) {
  ScaleFields f = scale_fields(rows.dtype);
  int64_t block = dtype_info(rows.dtype).block_bytes;
  if (!is_quantized(rows.dtype) || f.m < 0) return rows;
  for (size_t i = 0; i < rows.bytes.size(); i += static_cast<size_t>(block)) {
    std::memset(rows.bytes.data() + i + f.m, 0, 2);
  }
  return rows;
}

inline constexpr DType kWeightTypes[] = {
    DType::kF32,   DType::kF16,    DType::kBF16,  DType::kQ4_0,  DType::kQ4_1,  DType::kQ5_0,  DType::kQ5_1,
    DType::kQ8_0,  DType::kQ2_K,   DType::kQ3_K,  DType::kQ4_K,  DType::kQ5_K,  DType::kQ6_K,  DType::kW4G32,
    DType::kW4G64, DType::kW4G128, DType::kW3G32, DType::kW2G32, DType::kW8G64, DType::kF8G64,
};

// Zeroed bytes at a kPackedAlign-aligned address, as packed weights want them.
class AlignedBytes {
 public:
  explicit AlignedBytes(int64_t size) : storage_(static_cast<size_t>(size) + 64) {}
  std::byte* data() {
    auto address = reinterpret_cast<uintptr_t>(storage_.data());
    return storage_.data() + (64 - address % 64) % 64;
  }

 private:
  std::vector<std::byte> storage_;
};

}  // namespace turgo
