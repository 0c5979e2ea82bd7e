// NEON with FEAT_DotProd: the table's linear functions.
#pragma once

#include "kernels/cpu/gemm_float_neon.h"
#include "kernels/cpu/gemm_int8_neon.h"

namespace turgo::neon {
namespace {

int64_t activation_tile(Precision p) {
  return p == Precision::kInt8 ? kInt8Tile : kFloatTile;
}

int64_t activation_bytes(Precision p, int64_t m, int64_t k) {
  return padded_activation_bytes(p, activation_tile(p), m, k);
}

void pack_activations(Precision p, const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t tile_begin,
                      int64_t tile_end, std::byte* dst) {
  pack_tiles(p, activation_tile(p), x, x_stride, m, k, tile_begin, tile_end, dst);
}

void gemm(const GemmArgs& a) {
  for_weight_type(a.weight.dtype, [&](auto type) {
    constexpr DType D = type.value;
    if constexpr (quant_format(D).low_bits == 0) {
      gemm_float<D>(a);
    } else if (a.precision != Precision::kInt8) {
      gemm_quants_float<D>(a);
    } else if constexpr (has_integer_weights(D)) {
      gemm_int8<D>(a);
    } else {
      __builtin_trap();  // the caller picks kBF16 for float weights
    }
  });
}

}  // namespace
}  // namespace turgo::neon
