// first_not_finite against dequantize_row: every type, every f16 field of a block broken in turn.
#include "kernels/common/finite_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/common/quant_blocks.h"

namespace turgo {
namespace {

int64_t slow(DType dtype, const std::vector<std::byte>& row, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  dequantize_row(dtype, row.data(), values.data(), n);
  const int64_t block = dtype_info(dtype).block_size;
  for (int64_t i = 0; i < n; ++i)
    if (!std::isfinite(values[static_cast<size_t>(i)])) return i / block * block;
  return -1;
}

// Byte pairs of a row of ones are set to the 16 bits of infinity or NaN, one place at a time; wherever the
// values suffer, both must say so. (In a block of ones all scales and quants are odd numbers, never 0, which
// would make 0 * inf the only sign.)
TEST(FiniteRows, EqualsTheDequantizedRow) {
  for (int t = 0; t < kNumDTypes; ++t) {
    const auto dtype = static_cast<DType>(t);
    const DTypeInfo info = dtype_info(dtype);
    SCOPED_TRACE(info.name);
    const int64_t n = info.block_size == 1 ? 3000 : 3 * info.block_size;
    const std::vector<std::byte> good(static_cast<size_t>(row_bytes(dtype, n)), std::byte{0x11});
    EXPECT_EQ(first_not_finite(dtype, good.data(), n), -1);
    EXPECT_EQ(slow(dtype, good, n), -1);
    int num_found = 0;
    for (size_t at = 0; at + 1 < good.size(); ++at) {
      for (const uint16_t bits : {uint16_t{0x7c00}, uint16_t{0xfe00}, uint16_t{0x7f80}, uint16_t{0x7bff}}) {
        std::vector<std::byte> row = good;
        std::memcpy(row.data() + at, &bits, 2);
        const int64_t found = first_not_finite(dtype, row.data(), n);
        ASSERT_EQ(found, slow(dtype, row, n)) << "byte " << at << " bits " << bits;
        num_found += found >= 0;
      }
    }
    const bool integer =
        dtype == DType::kI32 || dtype == DType::kI64 || dtype == DType::kI8 || dtype == DType::kU8;
    EXPECT_EQ(num_found > 0, !integer);
  }
}

}  // namespace
}  // namespace turgo
