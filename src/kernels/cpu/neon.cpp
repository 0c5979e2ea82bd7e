// The kernel table of ISA "neon". This file exports one constant; everything else in it is internal.
#include "kernels/cpu/gemm_neon.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_attention.h"
#include "kernels/cpu/simd_neon.h"

namespace turgo {

extern const KernelTable kNeonTable;

const KernelTable kNeonTable = {
    .isa = "neon",
    // linear
    .activation_tile = neon::activation_tile,
    .activation_bytes = neon::activation_bytes,
    .pack_activations = neon::pack_activations,
    .gemm = neon::gemm,
    // rows
    .rms_norm = rms_norm<SimdNeon>,
    .gated_activation = gated_activation<SimdNeon>,
    .add = add_row<SimdNeon>,
    .scale = scale_row<SimdNeon>,
    .soft_cap = soft_cap_row<SimdNeon>,
    // attention
    .rope = rope<SimdNeon>,
    .kv_store = kv_store<SimdNeon>,
    .attention = attention<SimdNeon>,
    .attention_merge = attention_merge<SimdNeon>,
};

}  // namespace turgo
