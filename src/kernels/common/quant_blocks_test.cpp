// Against blocks that the `gguf` package converted (tools/make_quant_goldens.py), bit for bit.
#include "kernels/common/quant_blocks.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace turgo {
namespace {

constexpr int64_t kElements = 1024;  // in every golden
constexpr DType kStored[] = {DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ4_0, DType::kQ4_1,
                             DType::kQ5_0, DType::kQ5_1, DType::kQ8_0, DType::kQ2_K, DType::kQ3_K,
                             DType::kQ4_K, DType::kQ5_K, DType::kQ6_K};
constexpr DType kQuantizable[] = {DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0};

std::vector<char> golden(DType type, const char* suffix) {
  std::string path = TURGO_SOURCE_DIR "/tests/goldens/quant_blocks/";
  path += dtype_info(type).name;
  path += suffix;
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<float> random_row(int64_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(rng);
  return x;
}

TEST(QuantBlocks, DequantizeIsBitEqualToGguf) {
  for (DType t : kStored) {
    SCOPED_TRACE(dtype_info(t).name);
    auto file = golden(t, ".bin");
    auto block_bytes = static_cast<size_t>(row_bytes(t, kElements));
    ASSERT_EQ(file.size(), block_bytes + kElements * sizeof(float));
    std::vector<float> x(kElements);
    dequantize_row(t, file.data(), x.data(), kElements);
    EXPECT_EQ(std::memcmp(x.data(), file.data() + block_bytes, kElements * sizeof(float)), 0);

    // The same from an odd address.
    std::vector<char> shifted(block_bytes + 1);
    std::memcpy(shifted.data() + 1, file.data(), block_bytes);
    std::vector<float> y(kElements);
    dequantize_row(t, shifted.data() + 1, y.data(), kElements);
    EXPECT_EQ(std::memcmp(x.data(), y.data(), kElements * sizeof(float)), 0);
  }
}

TEST(QuantBlocks, QuantizeIsByteEqualToGguf) {
  for (DType t : kQuantizable) {
    SCOPED_TRACE(dtype_info(t).name);
    ASSERT_TRUE(can_quantize(t));
    auto file = golden(t, ".quantized.bin");
    auto block_bytes = static_cast<size_t>(row_bytes(t, kElements));
    ASSERT_EQ(file.size(), block_bytes + kElements * sizeof(float));
    std::vector<float> x(kElements);
    std::memcpy(x.data(), file.data(), kElements * sizeof(float));
    std::vector<char> blocks(block_bytes);
    quantize_row(t, x.data(), blocks.data(), kElements);
    EXPECT_EQ(std::memcmp(blocks.data(), file.data() + kElements * sizeof(float), block_bytes), 0);
  }
}

// Half a step of the coarsest level, plus the rounding of the f16 scale and offset.
TEST(QuantBlocks, RoundTripErrorIsHalfAStep) {
  auto x = random_row(kElements, 1);
  for (DType t : kQuantizable) {
    std::vector<char> blocks(static_cast<size_t>(row_bytes(t, kElements)));
    std::vector<float> y(kElements);
    quantize_row(t, x.data(), blocks.data(), kElements);
    dequantize_row(t, blocks.data(), y.data(), kElements);
    for (int64_t begin = 0; begin < kElements; begin += 32) {
      float low = x[begin], high = x[begin], extreme = 0;
      for (int64_t i = begin; i < begin + 32; ++i) {
        low = std::min(low, x[i]);
        high = std::max(high, x[i]);
        extreme = std::max(extreme, std::fabs(x[i]));
      }
      float step = t == DType::kQ4_0   ? extreme / 8
                   : t == DType::kQ5_0 ? extreme / 16
                   : t == DType::kQ8_0 ? extreme / 127
                   : t == DType::kQ4_1 ? (high - low) / 15
                                       : (high - low) / 31;
      // Symmetric types have no level at +extreme if the extreme is negative: there the error is a whole
      // step.
      float allowed = (t == DType::kQ4_0 || t == DType::kQ5_0 ? 1.0f : 0.5f) * step + 4e-3f * extreme;
      for (int64_t i = begin; i < begin + 32; ++i) EXPECT_NEAR(x[i], y[i], allowed) << dtype_info(t).name;
    }
  }
}

TEST(QuantBlocks, PlainTypesRoundTrip) {
  auto x = random_row(257, 2);
  for (DType t : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<char> bytes(static_cast<size_t>(row_bytes(t, 257)));
    std::vector<float> y(257);
    quantize_row(t, x.data(), bytes.data(), 257);
    dequantize_row(t, bytes.data(), y.data(), 257);
    float tolerance = t == DType::kF32 ? 0 : t == DType::kF16 ? 0x1p-11f : 0x1p-8f;
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], y[i], std::fabs(x[i]) * tolerance);
  }
}

TEST(QuantBlocks, IntegersBecomeFloats) {
  const int8_t i8[] = {-128, 0, 127};
  const int64_t i64[] = {-5, int64_t{1} << 24, 7};
  float x[3];
  dequantize_row(DType::kI8, i8, x, 3);
  EXPECT_EQ(x[0], -128);
  EXPECT_EQ(x[2], 127);
  dequantize_row(DType::kI64, i64, x, 3);
  EXPECT_EQ(x[0], -5);
  EXPECT_EQ(x[1], 0x1p24f);
}

// No input may make the conversion itself misbehave (the sanitizer build runs this): huge, tiny, infinite,
// NaN.
TEST(QuantBlocks, ExtremeInputsAreHarmless) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (float v : {0.0f, -0.0f, 1e-45f, -1e-38f, 3e38f, -3e38f, 65520.0f, inf, -inf, nan}) {
    std::vector<float> x(32, 1.0f), y(32);
    x[5] = v;
    for (DType t : kQuantizable) {
      std::vector<char> blocks(static_cast<size_t>(row_bytes(t, 32)));
      quantize_row(t, x.data(), blocks.data(), 32);
      dequantize_row(t, blocks.data(), y.data(), 32);
    }
  }
}

TEST(QuantBlocks, WhatCanBeQuantized) {
  int count = 0;
  for (int t = 0; t < kNumDTypes; ++t) count += can_quantize(static_cast<DType>(t));
  EXPECT_EQ(count, 8);
  EXPECT_FALSE(can_quantize(DType::kQ4_K));
}

}  // namespace
}  // namespace turgo
