// Quantised matrices as other programs store them, tensor by tensor. Layouts after the published unpacking
// rules:
//   AWQ ("gemm")        qweight i32 [k, n/8], qzeros i32 [k/g, n/8], scales f16 [k/g, n]; nibble i of word c
//   is
//                       column 8c + (0, 2, 4, 6, 1, 3, 5, 7)[i]; 4 bits only, n % 8 == 0
//   GPTQ v2             qweight i32 [k b/32, n], qzeros i32 [k/g, n b/32], scales f16 [k/g, n], g_idx i32
//   [k];
//                       b-bit fields from the lowest bit up, across words for 3 bits; zeros as they are
//   compressed-tensors  weight_packed i32 [n, k b/32], weight_scale f16 [n, k/g], weight_shape i64 [2], and
//     pack-quantized    where asymmetric weight_zero_point i32 [n b/32, k/g] packed along n; all widths
//   int-quantized       weight i8 [n, k], weight_scale f32 [n, 1]: W8A8 (LMDeploy's smooth_quant calls it
//   scale)
//   float-quantized     weight e4m3 [n, k], weight_scale bf16 [n, 1] (smooth_quant: scale f32)
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "compress/quant_grid.h"
#include "compress/source_model.h"
#include "core/tensor.h"
#include "io/model_file.h"

namespace turgo {

struct OutputTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::byte> bytes;
};

enum class FolderFormat : uint8_t { kDense, kAwq, kGptq, kCompressedTensors, kSmoothQuant };
const char* folder_format_name(FolderFormat format);

// f32 values stored as f32, f16 or bf16.
OutputTensor dense_tensor(std::string name, const float* values, const Shape& shape, DType dtype);

// The tensors of one linear, bias (f16) last. CHECKs what check_format() refuses.
std::vector<OutputTensor> quantized_tensors(const LinearMatrix& matrix, const QuantizedMatrix& codes,
                                            FolderFormat format);

// Throws Error{kInvalidArgument} naming what the format holds.
void check_format(FolderFormat format, const QuantSpec& spec, const std::string& name, int64_t n, int64_t k);

// config.json's quantization_config. `act_order` is noted only; grids are static. `widths`: bits by matrix
// where they differ (compressed-tensors alone can say that).
Json quantization_config(FolderFormat format, const QuantSpec& spec, const std::map<std::string, int>& widths,
                         bool act_order);

}  // namespace turgo
