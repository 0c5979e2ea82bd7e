// A float table that is rounded to Q8_0 (blocks of 32 with an f16 scale, 8.5 bits a weight) while it is
// packed. Folders of AWQ, GPTQ, compressed-tensors, smooth_quant and fp8 keep embedding and head in 16 bits
// because their formats know linears of layers only; beside 4-bit layers the head would be most of what a
// decode step reads.
#pragma once

#include "io/model_file.h"

namespace turgo {

// f32, f16 or bf16 rows of whole blocks, not made by a reader.
bool can_round_table(const RawTensor& table);

// `table` as a Q8_0 tensor whose rows are rounded as they are read; mapped pages are dropped behind it. Its
// numbers must be finite (check_finite). `table` must outlive it.
RawTensor rounded_table(const RawTensor& table);

}  // namespace turgo
