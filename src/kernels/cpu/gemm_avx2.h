// AVX2, with or without AVX-VNNI: the table's linear functions.
#pragma once

#include "kernels/cpu/gemm_float_avx2.h"
#include "kernels/cpu/gemm_int8_avx2.h"

namespace turgo::avx2 {
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

template <DType D>
void gemm_quants(const GemmArgs& a) {
  if (a.precision == Precision::kInt8) return gemm_int8<D>(a);
  gemm_quants_float<D>(a);
}

void gemm(const GemmArgs& a) {
  switch (a.weight.dtype) {
    case DType::kF32:
      return gemm_float<DType::kF32>(a);
    case DType::kF16:
      return gemm_float<DType::kF16>(a);
    case DType::kBF16:
      return gemm_float<DType::kBF16>(a);
    case DType::kQ4_0:
      return gemm_quants<DType::kQ4_0>(a);
    case DType::kQ4_1:
      return gemm_quants<DType::kQ4_1>(a);
    case DType::kQ5_0:
      return gemm_quants<DType::kQ5_0>(a);
    case DType::kQ5_1:
      return gemm_quants<DType::kQ5_1>(a);
    case DType::kQ8_0:
      return gemm_quants<DType::kQ8_0>(a);
    case DType::kQ2_K:
      return gemm_quants<DType::kQ2_K>(a);
    case DType::kQ3_K:
      return gemm_quants<DType::kQ3_K>(a);
    case DType::kQ4_K:
      return gemm_quants<DType::kQ4_K>(a);
    case DType::kQ5_K:
      return gemm_quants<DType::kQ5_K>(a);
    case DType::kQ6_K:
      return gemm_quants<DType::kQ6_K>(a);
    default:
      __builtin_trap();
  }
}

}  // namespace
}  // namespace turgo::avx2
