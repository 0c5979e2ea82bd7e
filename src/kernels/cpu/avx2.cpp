// The kernel table of ISA "avx2". This file exports one constant; everything else in it is internal.
#include "kernels/cpu/gemm_scalar.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {

extern const KernelTable kAvx2Table;

const KernelTable kAvx2Table = {
    .isa = "avx2",
    // linear
    .activation_tile = scalar::activation_tile,
    .activation_bytes = scalar::activation_bytes,
    .pack_activations = scalar::pack_activations,
    .gemm = scalar::gemm,
    // rows
    .rms_norm = nullptr,
    .gated_activation = nullptr,
    .add = nullptr,
    .scale = nullptr,
    .soft_cap = nullptr,
    // attention
    .rope = nullptr,
    .kv_store = nullptr,
    .attention = nullptr,
};

}  // namespace turgo
