// Linears that a Hugging Face folder stores quantised, by AWQ (gemm order), GPTQ (v1 and v2, with or without
// act-order), compressed-tensors (pack-quantized, int-quantized, float-quantized), LMDeploy's smooth_quant or
// Hugging Face's fp8. The several tensors of one linear become one RawTensor NAME.weight whose rows a
// RowReader puts together as blocks of a kW* type or kF8G64: the same codes, zero points and scales, nothing
// is rounded. What no block holds exactly (a group of 16, asymmetric 8 bits, a scale beyond f16) becomes f32
// rows. compress/packed_formats.h draws the layouts.
#pragma once

#include "io/model_file.h"

namespace turgo {

// Replaces tensors in `parts` by what its config.json's quantization_config says, and sets `quantization`.
// Nothing happens to a folder without one. Throws Error{kCorrupt} that names the tensor, Error{kUnsupported}
// for another method or variant.
void join_packed_linears(ModelFileParts& parts);

}  // namespace turgo
