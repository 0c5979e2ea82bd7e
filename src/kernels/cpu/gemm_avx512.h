// AVX-512 with VNNI and BF16: the table's linear functions.
#pragma once

#include "kernels/cpu/gemm_float_avx512.h"
#include "kernels/cpu/gemm_int8_avx512.h"
#include "kernels/cpu/pack_avx512.h"

namespace turgo::avx512 {
namespace {

int64_t activation_tile(Precision p) {
  return p == Precision::kInt8 ? kInt8Tile : kFloatTile;
}

[[maybe_unused]] int64_t activation_bytes(Precision p, int64_t m, int64_t k) {
  return padded_activation_bytes(p, activation_tile(p), m, k);
}

void pack_activations(Precision p, const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t tile_begin,
                      int64_t tile_end, std::byte* dst) {
  int64_t tile = activation_tile(p);
  switch (p) {
    case Precision::kInt8:
      return pack_vectors<Precision::kInt8>(tile, x, x_stride, m, k, tile_begin, tile_end, dst);
    case Precision::kBF16:
      return pack_vectors<Precision::kBF16>(tile, x, x_stride, m, k, tile_begin, tile_end, dst);
    case Precision::kF32:
      return pack_tiles(p, tile, x, x_stride, m, k, tile_begin, tile_end, dst);
  }
}

template <DType D, bool kSharePanels>
void gemm_quants(const GemmArgs& a) {
  if (a.precision != Precision::kInt8) return gemm_quants_float<D>(a);
  if constexpr (has_integer_weights(D)) {
    gemm_int8<D, kSharePanels>(a);
  } else {
    __builtin_trap();  // the caller picks kBF16 for float weights
  }
}

template <bool kSharePanels>
void gemm(const GemmArgs& a) {
  for_weight_type(a.weight.dtype, [&](auto type) {
    if constexpr (quant_format(type.value).low_bits > 0) {
      gemm_quants<type.value, kSharePanels>(a);
    } else {
      gemm_float<type.value>(a);
    }
  });
}

}  // namespace
}  // namespace turgo::avx512
