#include "kernels/cpu/self_check.h"

#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "kernels/common/quant_blocks.h"
#include "kernels/common/raw_block.h"

namespace turgo {
namespace {

constexpr int64_t kTokens = 20, kRows = 40, kColumns = kSuper;
constexpr float kTolerance = 1e-4f;  // of the largest output: bf16 sums differ by 1e-6, int8 ones by 1e-7

using Aligned = std::unique_ptr<std::byte, decltype(&std::free)>;

Aligned aligned_bytes(int64_t size) {
  auto rounded = static_cast<size_t>((size + kPackedAlign - 1) / kPackedAlign * kPackedAlign);
  return {static_cast<std::byte*>(std::aligned_alloc(kPackedAlign, rounded)), &std::free};
}

// Numbers in [-1, 1) without a pattern that rows, columns or tiles could share.
std::vector<float> scattered(int64_t count, uint32_t seed) {
  std::vector<float> x(static_cast<size_t>(count));
  for (float& v : x) {
    seed = seed * 1664525u + 1013904223u;
    v = static_cast<float>(static_cast<int32_t>(seed)) * 0x1p-31f;
  }
  return x;
}

// Rows of a type that quantize_row writes, or of Q6_K (sub-scales per 16 k).
std::vector<std::byte> weight_rows(DType dtype) {
  std::vector<float> values = scattered(kRows * kColumns, 1);
  int64_t stride = row_bytes(dtype, kColumns);
  std::vector<std::byte> rows(static_cast<size_t>(kRows * stride));
  for (int64_t r = 0; r < kRows; ++r) {
    const float* row = values.data() + r * kColumns;
    if (can_quantize(dtype)) {
      quantize_row(dtype, row, rows.data() + r * stride, kColumns);
      continue;
    }
    RawBlock block;
    block.scale = to_f16(0.01f).bits;
    for (int64_t i = 0; i < kColumns; ++i) {
      block.quants[i] = static_cast<uint8_t>(32 + static_cast<int>(row[i] * 31));
      if (i % 16 == 0) block.sub_scales[i / 16] = static_cast<uint8_t>(static_cast<int>(row[i] * 127));
    }
    join_block(dtype, block, rows.data() + r * stride);
  }
  return rows;
}

std::vector<float> product(const KernelTable& table, Precision precision, const PackedWeight& weight,
                           const std::vector<float>& x) {
  Aligned activations = aligned_bytes(table.activation_bytes(precision, kTokens, kColumns));
  int64_t tile = table.activation_tile(precision);
  table.pack_activations(precision, x.data(), kColumns, kTokens, kColumns, 0, (kTokens + tile - 1) / tile,
                         activations.get());
  std::vector<float> y(kTokens * kRows);
  GemmArgs args;
  args.weight = weight;
  args.precision = precision;
  args.activations = activations.get();
  args.m = kTokens;
  args.panel_end = num_panels(kRows);
  args.y = y.data();
  args.y_stride = kRows;
  table.gemm(args);
  return y;
}

}  // namespace

bool multiplies_alike(const KernelTable& table, const KernelTable& scalar) {
  struct Kind {
    DType dtype;
    Precision precision;
  };
  constexpr Kind kKinds[] = {{DType::kQ4_1, Precision::kInt8},
                             {DType::kQ6_K, Precision::kInt8},
                             {DType::kQ4_1, Precision::kBF16},
                             {DType::kBF16, Precision::kBF16}};
  const std::vector<float> x = scattered(kTokens * kColumns, 2);
  for (Kind kind : kKinds) {
    std::vector<std::byte> rows = weight_rows(kind.dtype);
    Aligned packed = aligned_bytes(packed_bytes(kind.dtype, kRows, kColumns));
    pack_weight(kind.dtype, rows.data(), row_bytes(kind.dtype, kColumns), kRows, kColumns, 0,
                num_panels(kRows), packed.get());
    PackedWeight weight{kind.dtype, kRows, kColumns, packed.get()};
    std::vector<float> want = product(scalar, kind.precision, weight, x);
    std::vector<float> got = product(table, kind.precision, weight, x);
    float largest = 0;
    for (float y : want) largest = std::fmax(largest, std::fabs(y));
    for (size_t i = 0; i < want.size(); ++i) {
      if (!(std::fabs(got[i] - want[i]) <= kTolerance * largest)) return false;
    }
  }
  return true;
}

}  // namespace turgo
