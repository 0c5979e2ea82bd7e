// Weights as the GEMM kernels read them. Rows are grouped into panels of 32; inside a panel k runs in blocks,
// and a block holds [scales | mins | quants] of 32 rows x 32 k (x 256 k for the K types), so that every batch
// size streams one contiguous region per panel. Packing loses nothing: unpack_weight() gives the file's rows
// back byte for byte. The drawings of the block of each type stand in packed_weight.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace turgo {

inline constexpr int kPanelRows = 32;
inline constexpr int kPackedAlign = 64;  // alignment of PackedWeight::data

// What the arithmetic of a linear is: int8 activations in groups of 32 along k (integer weights of up to 8
// bits), bf16 activations with f32 sums, or f32 throughout (the reference).
enum class Precision : uint8_t { kInt8, kBF16, kF32 };

struct PackedWeight {
  DType dtype = DType::kF32;  // type of the file's rows
  int64_t n = 0, k = 0;       // logical shape; k is a multiple of the dtype's block size
  const std::byte* data =
      nullptr;  // packed_bytes(dtype, n, k) bytes, kPackedAlign aligned, panel after panel
};

constexpr int64_t num_panels(int64_t n) {
  return (n + kPanelRows - 1) / kPanelRows;
}

// True for every dtype of core/dtype.h that weights come in: f32, f16, bf16 and all kQ*.
bool can_pack(DType dtype);
int64_t packed_panel_bytes(DType dtype, int64_t k);
inline int64_t packed_bytes(DType dtype, int64_t n, int64_t k) {
  return num_panels(n) * packed_panel_bytes(dtype, k);
}

// Packs panels [panel_begin, panel_end) of a row-major weight {n, k} whose rows start row_stride_bytes apart.
// Rows past n become zeros. `dst` is the start of the whole packed weight.
void pack_weight(DType dtype, const void* rows, int64_t row_stride_bytes, int64_t n, int64_t k,
                 int64_t panel_begin, int64_t panel_end, std::byte* dst);

// The inverse: writes row `row` of the weight in its file format (row_bytes(dtype, k) bytes).
void unpack_row(const PackedWeight& weight, int64_t row, void* dst);

// Row `row` as f32 [k]; exact. Used for embedding lookups out of a tied, packed lm_head.
void dequantize_packed_row(const PackedWeight& weight, int64_t row, float* dst);

}  // namespace turgo
