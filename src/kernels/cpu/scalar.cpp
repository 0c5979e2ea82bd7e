// The kernel table of ISA "scalar". This file exports one constant; everything else in it is internal.
#include "kernels/cpu/gemm_scalar.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_attention.h"
#include "kernels/cpu/simd_scalar.h"

namespace turgo {

extern const KernelTable kScalarTable;

const KernelTable kScalarTable = {
    .isa = "scalar",
    // linear
    .activation_tile = scalar::activation_tile,
    .activation_bytes = scalar::activation_bytes,
    .pack_activations = scalar::pack_activations,
    .gemm = scalar::gemm,
    // rows
    .rms_norm = rms_norm<SimdScalar>,
    .gated_activation = gated_activation<SimdScalar>,
    .add = add_row<SimdScalar>,
    .scale = scale_row<SimdScalar>,
    .soft_cap = soft_cap_row<SimdScalar>,
    // attention
    .rope = rope<SimdScalar>,
    .kv_store = kv_store<SimdScalar>,
    .attention = attention<SimdScalar>,
    .attention_merge = attention_merge<SimdScalar>,
};

}  // namespace turgo
