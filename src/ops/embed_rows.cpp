#include "ops/embed_rows.h"

#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

void copy_row(const TensorView& table, int64_t row, float* dst) {
  int64_t n = table.shape[1];
  if (table.dtype == DType::kF32) {
    std::memcpy(dst, table.as<float>() + row * table.stride(), n * sizeof(float));
  } else if (table.dtype == DType::kBF16) {
    const bf16* src = table.as<bf16>() + row * table.stride();
    for (int64_t j = 0; j < n; ++j) dst[j] = to_f32(src[j]);
  } else {
    CHECK(table.dtype == DType::kF16, "dense tables are f32, f16 or bf16, not {}",
          dtype_info(table.dtype).name);
    const f16* src = table.as<f16>() + row * table.stride();
    for (int64_t j = 0; j < n; ++j) dst[j] = to_f32(src[j]);
  }
}

}  // namespace

void embed_row(const LinearWeight& table, int64_t row, float* dst) {
  CHECK(row >= 0 && row < table.n, "row {} of {}", row, table.n);
  if (const auto* dense = std::get_if<DenseWeight>(&table.data)) return copy_row(dense->data, row, dst);
  const auto* packed = std::get_if<PackedSegments>(&table.data);
  CHECK(packed, "{}: not a table", table.name);
  for (const PackedWeight& s : packed->segments) {
    if (row < s.n) return dequantize_packed_row(s, row, dst);
    row -= s.n;
  }
}

}  // namespace turgo
