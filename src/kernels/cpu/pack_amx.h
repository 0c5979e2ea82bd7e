// AMX: activations in tiles of 16 tokens whose records are token-major: [t][32] s8 or [t][16][2] bf16 in the
// order of k that packed_activations.h draws, then its scales and sums. One token's record is the same as
// everywhere.
#pragma once

#include "kernels/cpu/pack_avx512.h"
#include "kernels/cpu/tiles_amx.h"

namespace turgo::amx {
namespace {

// Bytes of a token's numbers in a record; the rest are its words of scales and sums.
constexpr int quant_bytes(Precision p) {
  return p == Precision::kInt8 ? 32 : 64;
}

// 32 f32 of token t: as the record of a single token, whose parts then go to their places.
template <Precision kPrecision>
void pack_token(const float* x, int64_t left, int64_t tokens, int64_t t, uint8_t* record) {
  constexpr int kQuants = quant_bytes(kPrecision);
  uint32_t valid = left >= kGroupK ? 0xffffffffu : (1u << left) - 1;
  __m512 x0 = _mm512_maskz_loadu_ps(static_cast<__mmask16>(valid), x);
  __m512 x1 = _mm512_maskz_loadu_ps(static_cast<__mmask16>(valid >> 16), x + 16);
  alignas(64) uint8_t one[group_bytes(kPrecision)];
  if constexpr (kPrecision == Precision::kInt8) {
    avx512::quantize_vectors(x0, x1, 1, 0, one);
  } else {
    avx512::round_vectors(x0, x1, 1, 0, one);
  }
  __builtin_memcpy(record + t * kQuants, one, kQuants);
  for (int i = 0; kQuants + 4 * i < group_bytes(kPrecision); ++i)
    __builtin_memcpy(record + (kQuants + 4 * i) * tokens + 4 * t, one + kQuants + 4 * i, 4);
}

template <Precision kPrecision>
void pack_tokens(const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t tile_begin, int64_t tile_end,
                 std::byte* dst) {
  constexpr int64_t kBytes = group_bytes(kPrecision);
  int64_t groups = (k + kGroupK - 1) / kGroupK;
  for (int64_t i = tile_begin; i < tile_end; ++i) {
    auto* records = reinterpret_cast<uint8_t*>(dst) + i * tile_bytes(kPrecision, kTokens, k);
    int64_t tokens = m - i * kTokens < kTokens ? m - i * kTokens : kTokens;
    for (int64_t t = 0; t < tokens; ++t) {
      const float* row = x + (i * kTokens + t) * x_stride;
      for (int64_t g = 0; g < groups; ++g)
        pack_token<kPrecision>(row + g * kGroupK, k - g * kGroupK, tokens, t, records + g * kBytes * tokens);
    }
  }
}

// Panels and blocks of up to kBlock tokens, chunk by chunk as run_tiles():
// body(panel, tiles of the block, bytes of a tile, tokens, out).
template <int kBlock, class Body>
void run_blocks(const GemmArgs& a, Body body) {
  int64_t panel_bytes = packed_panel_bytes(a.weight.dtype, a.weight.k);
  int64_t bytes = tile_bytes(a.precision, kTokens, a.weight.k);
  int64_t block_bytes = bytes * (kBlock / kTokens);
  int64_t chunk = block_bytes > 0 ? kActivationChunkBytes / block_bytes * kBlock : 0;
  if (chunk < kBlock) chunk = kBlock;
  const auto* data = reinterpret_cast<const uint8_t*>(a.weight.data);
  const auto* activations = reinterpret_cast<const uint8_t*>(a.activations);
  for (int64_t begin = 0; begin < a.m; begin += chunk) {
    int64_t end = begin + chunk < a.m ? begin + chunk : a.m;
    for (int64_t p = a.panel_begin; p < a.panel_end; ++p) {
      int64_t row = p * kPanelRows, left = a.weight.n - row;
      for (int64_t t = begin; t < end; t += kBlock) {
        TileOutput out{a.y + t * a.y_stride + row, a.y_stride, a.bias ? a.bias + row : nullptr,
                       static_cast<int>(left < kPanelRows ? left : kPanelRows), a.accumulate};
        int64_t tokens = end - t < kBlock ? end - t : kBlock;
        body(data + p * panel_bytes, activations + t / kTokens * bytes, bytes, tokens, out);
      }
    }
  }
}

}  // namespace
}  // namespace turgo::amx
