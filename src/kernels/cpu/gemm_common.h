// What the linear functions of every ISA share: geometry of activation tiles, quantisation of activations,
// the walk over panels and tiles. Included by ISA translation units only: everything has internal linkage,
// and no inline function or template of the standard library is called, since the linker could keep a copy
// that was compiled for a newer CPU.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/packed_activations.h"
#include "kernels/common/packed_layout.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {
namespace {

[[maybe_unused]] constexpr int64_t kActivationChunkBytes = 512 << 10;  // of L2, while panels stream by

template <DType kType>
struct TypeTag {
  static constexpr DType value = kType;
};

// body(TypeTag<dtype>) for the types that weights come in.
template <class Body>
void for_weight_type(DType dtype, Body body) {
  switch (dtype) {
    case DType::kF32:
      return body(TypeTag<DType::kF32>{});
    case DType::kF16:
      return body(TypeTag<DType::kF16>{});
    case DType::kBF16:
      return body(TypeTag<DType::kBF16>{});
    case DType::kQ4_0:
      return body(TypeTag<DType::kQ4_0>{});
    case DType::kQ4_1:
      return body(TypeTag<DType::kQ4_1>{});
    case DType::kQ5_0:
      return body(TypeTag<DType::kQ5_0>{});
    case DType::kQ5_1:
      return body(TypeTag<DType::kQ5_1>{});
    case DType::kQ8_0:
      return body(TypeTag<DType::kQ8_0>{});
    case DType::kQ2_K:
      return body(TypeTag<DType::kQ2_K>{});
    case DType::kQ3_K:
      return body(TypeTag<DType::kQ3_K>{});
    case DType::kQ4_K:
      return body(TypeTag<DType::kQ4_K>{});
    case DType::kQ5_K:
      return body(TypeTag<DType::kQ5_K>{});
    case DType::kQ6_K:
      return body(TypeTag<DType::kQ6_K>{});
    case DType::kW4G32:
      return body(TypeTag<DType::kW4G32>{});
    case DType::kW4G64:
      return body(TypeTag<DType::kW4G64>{});
    case DType::kW4G128:
      return body(TypeTag<DType::kW4G128>{});
    case DType::kW3G32:
      return body(TypeTag<DType::kW3G32>{});
    case DType::kW2G32:
      return body(TypeTag<DType::kW2G32>{});
    case DType::kW8G64:
      return body(TypeTag<DType::kW8G64>{});
    case DType::kF8G64:
      return body(TypeTag<DType::kF8G64>{});
    default:
      __builtin_trap();
  }
}

// Where a kernel leaves the sums of one tile: y[t][0 … rows).
struct TileOutput {
  float* y;
  int64_t stride;
  const float* bias;  // of the panel's first row, or null
  int rows;           // valid rows of the panel
  bool accumulate;
};

// One panel times one tile of T tokens; groups of 32 k.
using TileKernel = void (*)(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput&);

constexpr int64_t group_bytes(Precision p) {
  return p == Precision::kInt8 ? kInt8GroupBytes : p == Precision::kBF16 ? kBF16GroupBytes : kF32GroupBytes;
}

inline int64_t tile_bytes(Precision p, int64_t tile, int64_t k) {
  return (k + kGroupK - 1) / kGroupK * group_bytes(p) * tile;
}

inline int64_t padded_activation_bytes(Precision p, int64_t tile, int64_t m, int64_t k) {
  return ((m + tile - 1) / tile * tile_bytes(p, tile, k) + 63) / 64 * 64;
}

// sum (+ bias) (+ y), in this order.
[[maybe_unused]] inline void store_sums(const float* sums, int64_t token, const TileOutput& out) {
  float* y = out.y + token * out.stride;
  for (int r = 0; r < out.rows; ++r) {
    float v = sums[r];
    if (out.bias) v += out.bias[r];
    if (out.accumulate) v = y[r] + v;
    y[r] = v;
  }
}

// Loops over panels and tiles; kernel(tokens, panel, tile, groups, out). Tokens go in chunks that stay in L2.
template <class Kernel>
void run_tiles(const GemmArgs& a, int64_t tile, Kernel kernel) {
  int64_t groups = (a.weight.k + kGroupK - 1) / kGroupK;
  int64_t panel_bytes = packed_panel_bytes(a.weight.dtype, a.weight.k);
  int64_t bytes = tile_bytes(a.precision, tile, a.weight.k);
  int64_t chunk =
      bytes > 0 && kActivationChunkBytes / bytes > 1 ? kActivationChunkBytes / bytes * tile : tile;
  const auto* data = reinterpret_cast<const uint8_t*>(a.weight.data);
  const auto* activations = reinterpret_cast<const uint8_t*>(a.activations);
  for (int64_t begin = 0; begin < a.m; begin += chunk) {
    int64_t end = begin + chunk < a.m ? begin + chunk : a.m;
    for (int64_t p = a.panel_begin; p < a.panel_end; ++p) {
      int64_t row = p * kPanelRows, left = a.weight.n - row;
      for (int64_t t = begin; t < end; t += tile) {
        int64_t tokens = end - t < tile ? end - t : tile;
        TileOutput out{a.y + t * a.y_stride + row, a.y_stride, a.bias ? a.bias + row : nullptr,
                       static_cast<int>(left < kPanelRows ? left : kPanelRows), a.accumulate};
        kernel(static_cast<int>(tokens), data + p * panel_bytes, activations + t / tile * bytes, groups, out);
      }
    }
  }
}

// The same with one kernel per number of tokens: kernels[tokens - 1].
inline void run_tile_kernels(const GemmArgs& a, int64_t tile, const TileKernel* kernels) {
  run_tiles(a, tile,
            [kernels](int tokens, const uint8_t* panel, const uint8_t* activations, int64_t groups,
                      const TileOutput& out) { kernels[tokens - 1](panel, activations, groups, out); });
}

inline float bits_to_f32(uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

inline uint32_t f32_to_bits(float x) {
  return __builtin_bit_cast(uint32_t, x);
}

inline uint32_t round_to_bf16(float x) {
  uint32_t u = f32_to_bits(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return (u >> 16) | 0x40;
  return (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
}

// 32 f32 -> one kInt8 record of token t in a tile of `tokens`. Rounds to nearest even by adding 1.5 * 2^23.
inline void quantize_group(const float* x, int64_t tokens, int64_t t, uint8_t* record) {
  uint32_t max_bits = 0;
  for (int i = 0; i < kGroupK; ++i) {
    uint32_t bits = f32_to_bits(x[i]) & 0x7fffffffu;
    max_bits = bits > max_bits ? bits : max_bits;
  }
  float absmax = bits_to_f32(max_bits);
  bool tiny = absmax < kTinyAbsmax;
  float scale = tiny ? 0.0f : absmax / 127.0f;
  float inverse = tiny ? 0.0f : 127.0f / absmax;
  int32_t quants[kGroupK];
  int32_t low = 0, sum = 0;
  for (int i = 0; i < kGroupK; ++i) {
    int32_t q = static_cast<int32_t>(f32_to_bits(x[i] * inverse + 12582912.0f) - 0x4b400000u);
    quants[i] = q < -127 ? -127 : q > 127 ? 127 : q;  // only NaN and infinity come here out of range
  }
  for (int i = 0; i < 16; ++i) low += quants[i];
  for (int i = 16; i < kGroupK; ++i) sum += quants[i];
  sum += low;
  for (int i = 0; i < kGroupK; ++i) {
    record[i / 4 * 4 * tokens + t * 4 + i % 4] = static_cast<uint8_t>(quants[i]);
  }
  float* scales = reinterpret_cast<float*>(record + 32 * tokens);
  int32_t* offsets = reinterpret_cast<int32_t*>(record + 40 * tokens);
  scales[t] = scale;
  scales[tokens + t] = scale * static_cast<float>(sum);
  offsets[t] = -8 * sum;
  offsets[tokens + t] = -8 * low;
}

// Where k of a group lies in pairs of bf16.
constexpr int bf16_pair(int k) {
  return k / 4 * 2 + k % 2;
}
constexpr int bf16_side(int k) {
  return k % 4 / 2;
}

// 32 f32 -> one kBF16 record.
inline void round_group(const float* x, int64_t tokens, int64_t t, uint8_t* record) {
  float sums[2] = {0, 0};
  for (int i = 0; i < kGroupK; ++i) {
    uint32_t bits = round_to_bf16(x[i]);
    reinterpret_cast<uint16_t*>(record)[bf16_pair(i) * 2 * tokens + t * 2 + bf16_side(i)] =
        static_cast<uint16_t>(bits);
    sums[i / 16] += bits_to_f32(bits << 16);
  }
  float* out = reinterpret_cast<float*>(record + 64 * tokens);
  out[t] = sums[0];
  out[tokens + t] = sums[1];
}

[[maybe_unused]] inline void pack_tiles(Precision p, int64_t tile, const float* x, int64_t x_stride,
                                        int64_t m, int64_t k, int64_t tile_begin, int64_t tile_end,
                                        std::byte* dst) {
  int64_t groups = (k + kGroupK - 1) / kGroupK;
  for (int64_t i = tile_begin; i < tile_end; ++i) {
    auto* records = reinterpret_cast<uint8_t*>(dst) + i * tile_bytes(p, tile, k);
    int64_t tokens = m - i * tile < tile ? m - i * tile : tile;
    for (int64_t t = 0; t < tokens; ++t) {
      const float* row = x + (i * tile + t) * x_stride;
      for (int64_t g = 0; g < groups; ++g) {
        uint8_t* record = records + g * group_bytes(p) * tokens;
        float padded[kGroupK];
        const float* group = row + g * kGroupK;
        if (k - g * kGroupK < kGroupK) {
          for (int64_t j = 0; j < kGroupK; ++j) padded[j] = g * kGroupK + j < k ? group[j] : 0.0f;
          group = padded;
        }
        if (p == Precision::kInt8) {
          quantize_group(group, tokens, t, record);
        } else if (p == Precision::kBF16) {
          round_group(group, tokens, t, record);
        } else {
          for (int64_t j = 0; j < kGroupK; ++j) reinterpret_cast<float*>(record)[j * tokens + t] = group[j];
        }
      }
    }
  }
}

}  // namespace
}  // namespace turgo
