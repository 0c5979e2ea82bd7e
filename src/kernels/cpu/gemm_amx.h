// AMX on top of AVX-512: the table's linear functions. Tiles is the tile unit (HardwareTiles), or for tests
// its twin in plain code.
//   bf16 weights x bf16 activations   tdpbf16ps straight from the panel, 32 rows x 16 or 32 tokens, for every
//   m: 9x
//                                     avx512 at 64 tokens and more, reads at the speed of memory up to 16
//   integer weights x int8, bf16      gemm_quants_amx.h
//   f32, f16 weights x bf16           the vector kernel of gemm_float_avx512.h, 8 tokens at a time
//   anything x f32                    as the table avx512
#pragma once

#include "kernels/cpu/gemm_avx512.h"
#include "kernels/cpu/gemm_quants_amx.h"
#include "kernels/cpu/rows_attention.h"
#include "kernels/cpu/simd_avx512.h"

namespace turgo::amx {
namespace {

int64_t activation_tile(Precision p) {
  return p == Precision::kF32 ? avx512::kFloatTile : kTokens;
}

int64_t activation_bytes(Precision p, int64_t m, int64_t k) {
  return padded_activation_bytes(p, activation_tile(p), m, k);
}

void pack_activations(Precision p, const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t tile_begin,
                      int64_t tile_end, std::byte* dst) {
  switch (p) {
    case Precision::kInt8:
      return pack_tokens<Precision::kInt8>(x, x_stride, m, k, tile_begin, tile_end, dst);
    case Precision::kBF16:
      return pack_tokens<Precision::kBF16>(x, x_stride, m, k, tile_begin, tile_end, dst);
    case Precision::kF32:
      return avx512::pack_activations(p, x, x_stride, m, k, tile_begin, tile_end, dst);
  }
}

constexpr int kBF16Block = 128;  // tokens that share a chunk of a panel in L1
constexpr int kBF16Chunk = 8;    // groups of 32 k: 16 KB

// sums [16 or 32 tokens][32 rows] += (or =, first) groups of a panel x one or two tiles of tokens.
template <int kTokenTiles, class Tiles>
void add_bf16_groups(Tiles& tiles, const uint8_t* panel, const uint8_t* a0, int64_t stride0,
                     const uint8_t* a1, int64_t stride1, int64_t count, bool first, bool prefetch,
                     float* sums) {
  constexpr int kBytes = float_group_bytes_of<DType::kBF16>;
  if (first) {
    tiles.clear();
  } else {
    tiles.template load<kTokenTiles>(sums);
  }
  for (int64_t g = 0; g < count; ++g, panel += kBytes, a0 += stride0, a1 += stride1) {
    if (prefetch) {
#pragma GCC unroll 1
      for (int i = 0; i < kBytes; i += 64)
        _mm_prefetch(reinterpret_cast<const char*>(panel + avx512::kPrefetchAhead + i), _MM_HINT_T0);
    }
    tiles.template add_bf16<kTokenTiles>(a0, a1, panel);
  }
  tiles.template store<kTokenTiles>(sums);
}

// One panel times up to kBF16Block tokens. With more than two tiles k goes in chunks, so that all of them
// find the panel in L1; sums then pass through memory, which changes no bit of them.
template <class Tiles>
void sum_bf16_block(Tiles& tiles, const uint8_t* panel, const uint8_t* activations, int64_t bytes,
                    int64_t tokens, int64_t groups, const TileOutput& out) {
  alignas(64) float sums[kBF16Block][kPanelRows];
  int64_t step = tokens > 2 * kTokens ? kBF16Chunk : groups;
  for (int64_t g = 0; g < groups; g += step) {
    int64_t count = groups - g < step ? groups - g : step;
    const uint8_t* weights = panel + g * float_group_bytes_of<DType::kBF16>;
    for (int64_t t = 0; t < tokens; t += 2 * kTokens) {
      int64_t left = tokens - t;
      int64_t stride0 = kBF16GroupBytes * (left < kTokens ? left : kTokens);
      const uint8_t* a0 = activations + t / kTokens * bytes + g * stride0;
      if (left <= kTokens) {
        add_bf16_groups<1>(tiles, weights, a0, stride0, a0, 0, count, g == 0, t == 0, sums[t]);
        continue;
      }
      int64_t stride1 = kBF16GroupBytes * (left < 2 * kTokens ? left - kTokens : kTokens);
      const uint8_t* a1 = activations + (t / kTokens + 1) * bytes + g * stride1;
      add_bf16_groups<2>(tiles, weights, a0, stride0, a1, stride1, count, g == 0, t == 0, sums[t]);
    }
  }
  for (int t = 0; t < tokens; ++t)
    avx512::store_tile_row(_mm512_load_ps(sums[t]), _mm512_load_ps(sums[t] + 16), t, out);
}

template <class Tiles>
void gemm_bf16_weights(const GemmArgs& a) {
  int64_t groups = (a.weight.k + kGroupK - 1) / kGroupK;
  Tiles tiles(64);
  run_blocks<kBF16Block>(a, [&](const uint8_t* panel, const uint8_t* activations, int64_t bytes,
                                int64_t tokens, const TileOutput& out) {
    sum_bf16_block(tiles, panel, activations, bytes, tokens, groups, out);
  });
}

// f32 and f16 weights: tokens of a token-major record stand 64 bytes apart, pairs of k 4.
template <int T>
constexpr avx512::FmaGroup kFma = avx512::fma_bf16<T, 4, 64>;
constexpr avx512::FmaGroup kFmaTokenMajor[] = {kFma<1>, kFma<2>, kFma<3>, kFma<4>,
                                               kFma<5>, kFma<6>, kFma<7>, kFma<8>};

template <DType D>
void gemm_widened(const GemmArgs& a) {
  constexpr int64_t kMost = sizeof kFmaTokenMajor / sizeof *kFmaTokenMajor;
  run_tiles(a, kTokens,
            [](int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups, TileOutput out) {
              for (int64_t t = 0; t < tokens; t += kMost, out.y += kMost * out.stride) {
                int count = static_cast<int>(tokens - t < kMost ? tokens - t : kMost);
                avx512::tile_floats<D>(count, panel, tile + 64 * t, kBF16GroupBytes * tokens, groups,
                                       kFmaTokenMajor[count - 1], out);
              }
            });
}

template <class Tiles>
void gemm(const GemmArgs& a) {
  for_weight_type(a.weight.dtype, [&](auto type) {
    constexpr DType D = type.value;
    if constexpr (quant_format(D).low_bits > 0) {
      if (a.precision == Precision::kF32) return avx512::gemm_quants_float<D>(a);
      if (a.precision == Precision::kBF16) return gemm_quants_bf16<D, Tiles>(a);
      if constexpr (has_integer_weights(D)) {
        gemm_quants_int8<D, Tiles>(a);
      } else {
        __builtin_trap();  // the caller picks kBF16 for float weights
      }
    } else {
      if (a.precision == Precision::kF32) return avx512::gemm_float<D>(a);
      if (a.precision == Precision::kInt8) __builtin_trap();  // the caller picks kBF16 for float weights
      if constexpr (D == DType::kBF16) {
        gemm_bf16_weights<Tiles>(a);
      } else {
        gemm_widened<D>(a);
      }
    }
  });
}

// `tiles` is the type of the tile unit.
template <class Tiles>
constexpr KernelTable make_table(const char* isa) {
  return {.isa = isa,
          // linear
          .activation_tile = activation_tile,
          .activation_bytes = activation_bytes,
          .pack_activations = pack_activations,
          .gemm = gemm<Tiles>,
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
          .attention_merge = attention_merge<SimdAvx512>};
}

}  // namespace
}  // namespace turgo::amx
