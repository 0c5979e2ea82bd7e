// The kernel table of ISA "avx2". This file exports one constant; everything else in it is internal.
#include "kernels/cpu/gemm_avx2.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_attention.h"
#include "kernels/cpu/simd_avx2.h"

namespace turgo {

extern const KernelTable kAvx2Table;

const KernelTable kAvx2Table = {
    .isa = "avx2",
    // linear
    .activation_tile = avx2::activation_tile,
    .activation_bytes = avx2::activation_bytes,
    .pack_activations = avx2::pack_activations,
    .gemm = avx2::gemm,
    // rows
    .rms_norm = rms_norm<SimdAvx2>,
    .gated_activation = gated_activation<SimdAvx2>,
    .add = add_row<SimdAvx2>,
    .scale = scale_row<SimdAvx2>,
    .soft_cap = soft_cap_row<SimdAvx2>,
    // attention
    .rope = rope<SimdAvx2>,
    .kv_store = kv_store<SimdAvx2>,
    .attention = attention<SimdAvx2>,
    .attention_merge = attention_merge<SimdAvx2>,
};

}  // namespace turgo
