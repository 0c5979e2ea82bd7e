// The kernel table of ISA "avx512". This file exports one constant; everything else in it is internal.
#include "kernels/cpu/gemm_avx512.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_attention.h"
#include "kernels/cpu/simd_avx512.h"

namespace turgo {

extern const KernelTable kAvx512Table;

namespace {

void gemm(const GemmArgs& a) {
  __builtin_cpu_is("intel") ? avx512::gemm<true>(a) : avx512::gemm<false>(a);
}

}  // namespace

const KernelTable kAvx512Table = {
    .isa = "avx512",
    // linear
    .activation_tile = avx512::activation_tile,
    .activation_bytes = avx512::activation_bytes,
    .pack_activations = avx512::pack_activations,
    .gemm = gemm,
    // rows
    .rms_norm = rms_norm<SimdAvx512>,
    .gated_activation = gated_activation<SimdAvx512>,
    .add = add_row<SimdAvx512>,
    .scale = scale_row<SimdAvx512>,
    .soft_cap = soft_cap_row<SimdAvx512>,
    // attention
    .rope = rope<SimdAvx512>,
    .kv_store = kv_store<SimdAvx512>,
    .attention = attention<SimdAvx512>,
    .attention_merge = attention_merge<SimdAvx512>,
};

}  // namespace turgo
