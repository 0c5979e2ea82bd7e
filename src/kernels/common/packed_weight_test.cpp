// Packing loses nothing: any bytes come back, and a packed row dequantises as the file's row does.
#include "kernels/common/packed_weight.h"

#include <gtest/gtest.h>

#include "kernels/common/packed_layout.h"
#include "kernels/common/quant_blocks.h"
#include "kernels/common/test_weights.h"

namespace turgo {
namespace {

int64_t columns(DType t, int blocks) {
  return is_quantized(t) ? blocks * dtype_info(t).block_size : blocks * 32 - 5;
}

class Packing : public testing::TestWithParam<DType> {};

TEST_P(Packing, ReturnsEveryByte) {
  DType t = GetParam();
  std::mt19937 rng(7);
  for (int64_t n : {1, 31, 32, 33, 70}) {
    for (int blocks : {1, 3}) {
      int64_t k = columns(t, blocks);
      TestRows rows = random_rows(t, n, k, 1);
      for (uint8_t& b : rows.bytes) b = static_cast<uint8_t>(rng());  // any bytes, also as scales
      AlignedBytes packed(packed_bytes(t, n, k));
      pack_weight(t, rows.bytes.data(), rows.stride(), n, k, 0, num_panels(n), packed.data());
      PackedWeight weight{t, n, k, packed.data()};
      std::vector<uint8_t> back(static_cast<size_t>(rows.stride()));
      for (int64_t r = 0; r < n; ++r) {
        unpack_row(weight, r, back.data());
        ASSERT_EQ(0, std::memcmp(back.data(), rows.row(r), back.size())) << "row " << r << " of " << n;
      }
    }
  }
}

TEST_P(Packing, DequantizesAsTheFileDoes) {
  DType t = GetParam();
  int64_t n = 37, k = columns(t, 2);
  for (ScaleKind kind : {ScaleKind::kNormal, ScaleKind::kMixed}) {
    TestRows rows = random_rows(t, n, k, 2, kind);
    AlignedBytes packed(packed_bytes(t, n, k));
    pack_weight(t, rows.bytes.data(), rows.stride(), n, k, 0, num_panels(n), packed.data());
    PackedWeight weight{t, n, k, packed.data()};
    std::vector<float> got(static_cast<size_t>(k)), want(static_cast<size_t>(k));
    for (int64_t r = 0; r < n; ++r) {
      dequantize_packed_row(weight, r, got.data());
      dequantize_row(t, rows.row(r), want.data(), k);
      ASSERT_EQ(0, std::memcmp(got.data(), want.data(), want.size() * 4)) << "row " << r;
    }
  }
}

TEST_P(Packing, PanelsMayBePackedApart) {
  DType t = GetParam();
  int64_t n = 100, k = columns(t, 1);
  TestRows rows = random_rows(t, n, k, 3);
  AlignedBytes whole(packed_bytes(t, n, k)), parts(packed_bytes(t, n, k));
  pack_weight(t, rows.bytes.data(), rows.stride(), n, k, 0, 4, whole.data());
  for (int64_t p : {2, 0, 3, 1}) {
    pack_weight(t, rows.bytes.data(), rows.stride(), n, k, p, p + 1, parts.data());
  }
  EXPECT_EQ(0, std::memcmp(whole.data(), parts.data(), static_cast<size_t>(packed_bytes(t, n, k))));
}

// What the drawing in packed_weight.cpp promises about size.
TEST_P(Packing, WidensByAtMostFourPerCent) {
  DType t = GetParam();
  int64_t k = is_quantized(t) ? 512 : 64;
  double file = static_cast<double>(row_bytes(t, k)) * kPanelRows;
  EXPECT_LE(static_cast<double>(packed_panel_bytes(t, k)), file * 1.04);
  EXPECT_GE(static_cast<double>(packed_panel_bytes(t, k)), file);
  EXPECT_EQ(packed_panel_bytes(t, k) % kPackedAlign, 0);
}

INSTANTIATE_TEST_SUITE_P(All, Packing, testing::ValuesIn(kWeightTypes),
                         [](const auto& param) { return std::string(dtype_info(param.param).name); });

}  // namespace
}  // namespace turgo
