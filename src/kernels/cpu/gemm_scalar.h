// The linear functions in plain C++: what runs where no vector ISA is known, and the shape that the others
// follow. A group of 32 rows x 32 k is unpacked into a small buffer, then multiplied with up to four tokens.
#pragma once

#include "kernels/cpu/gemm_common.h"

namespace turgo::scalar {
namespace {

constexpr int64_t kTile = 4;

inline float f16_to_f32(const uint8_t* p) {
  uint16_t h;
  __builtin_memcpy(&h, p, 2);
  uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 0x3ff;
  if (exp == 31) return bits_to_f32(sign | 0x7f800000u | (man << 13));
  if (exp != 0) return bits_to_f32(sign | ((exp + 112) << 23) | (man << 13));
  return bits_to_f32(f32_to_bits(static_cast<float>(man) * 0x1p-24f) | sign);
}

inline float e4m3_to_f32(uint32_t byte) {
  const uint32_t sign = (byte & 0x80) << 24, rest = byte & 0x7f;
  if (rest >= 8) return bits_to_f32(sign | ((rest << 20) + (120u << 23)));
  return bits_to_f32(sign | f32_to_bits(static_cast<float>(rest) * 0x1p-9f));
}

template <bool kFloat>
struct QuantNumber {
  using Type = int16_t;
};
template <>
struct QuantNumber<true> {
  using Type = float;
};

// One group taken apart. weight = scale * sub * quant - min * sub_min, quants with the offset subtracted;
// where the type has no sub-scales per 16 k, sub is 1 and scale and min are those of the group.
template <DType D>
struct Group {
  using Quant = typename QuantNumber<quant_format(D).e4m3>::Type;
  Quant quant[kGroupK][kPanelRows];
  float scale[kPanelRows], min[kPanelRows];
  int32_t sub[2][kPanelRows], sub_min[2][kPanelRows];
};

template <DType D>
void unpack_scales(const uint8_t* block, const uint8_t* group, Group<D>& out) {
  constexpr QuantFormat f = quant_format(D);
  for (int r = 0; r < kPanelRows; ++r) {
    float d;
    if constexpr (f.f32_scale) {
      __builtin_memcpy(&d, block + 4 * r, 4);
    } else {
      d = f16_to_f32(block + 2 * r);
    }
    float m = f.has_min ? f16_to_f32(block + 64 + 2 * r) : 0.0f;
    out.sub[0][r] = out.sub[1][r] = out.sub_min[0][r] = out.sub_min[1][r] = 1;
    out.scale[r] = d;
    out.min[r] = f.super_block ? m : f.min_is_zero_point ? d * m : -m;
    if constexpr (f.half_scales) {
      for (int h = 0; h < 2; ++h) {
        uint8_t v = group[32 * h + r];
        out.sub[h][r] = D == DType::kQ2_K ? v & 15 : static_cast<int8_t>(v);
        out.sub_min[h][r] = D == DType::kQ2_K ? v >> 4 : 0;
      }
    } else if constexpr (f.super_block) {
      out.scale[r] = d * static_cast<float>(group[r]);
      out.min[r] = m * static_cast<float>(group[32 + r]);
    }
  }
}

template <DType D>
void unpack_quants(const uint8_t* group, Group<D>& out) {
  constexpr QuantFormat f = quant_format(D);
  constexpr QuantLayout l = quant_layout(D);
  const uint8_t* low = group + l.low_offset;
  const uint8_t* high = group + l.high_offset;
  for (int k = 0; k < kGroupK; ++k) {
    for (int r = 0; r < kPanelRows; ++r) {
      int q;
      if constexpr (f.low_bits == 8) {
        q = low[k / 4 * 128 + r * 4 + k % 4];
      } else if constexpr (f.low_bits == 4) {
        q = (low[k % 16 / 4 * 128 + r * 4 + k % 4] >> (k / 16 * 4)) & 15;
      } else {
        q = (low[k / 16 * 128 + r * 4 + k % 4] >> (k % 16 / 4 * 2)) & 3;
      }
      if constexpr (f.high_bits == 1)
        q |= ((high[k / 4 * 16 + r / 2] >> (r % 2 * 4 + k % 4)) & 1) << f.low_bits;
      if constexpr (f.high_bits == 2) {
        q |= ((high[k / 16 * 128 + r * 4 + k % 4] >> (k % 16 / 4 * 2)) & 3) << f.low_bits;
      }
      if constexpr (f.e4m3) {
        out.quant[k][r] = e4m3_to_f32(static_cast<uint32_t>(q));
      } else {
        out.quant[k][r] = static_cast<int16_t>(q - f.offset);
      }
    }
  }
}

// Walks the groups of a panel.
template <DType D, class Body>
void for_groups(const uint8_t* panel, int64_t groups, Body body) {
  constexpr QuantLayout l = quant_layout(D);
  Group<D> group;
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* block = panel + g / l.groups_per_block * l.block_bytes;
    const uint8_t* data = block + l.head_bytes + g % l.groups_per_block * l.group_bytes;
    unpack_scales<D>(block, data, group);
    unpack_quants<D>(data, group);
    body(g, group);
  }
}

template <DType D, int T>
void tile_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  float sums[T][kPanelRows] = {};
  for_groups<D>(panel, groups, [&](int64_t g, const Group<D>& w) {
    const uint8_t* record = tile + g * kInt8GroupBytes * T;
    const auto* a = reinterpret_cast<const int8_t*>(record);
    const auto* scales = reinterpret_cast<const float*>(record + 32 * T);
    const auto* offsets = reinterpret_cast<const int32_t*>(record + 40 * T);
    for (int t = 0; t < T; ++t) {
      int32_t dot[2][kPanelRows] = {};
      for (int k = 0; k < kGroupK; ++k) {
        int32_t x = a[k / 4 * 4 * T + t * 4 + k % 4];
        for (int r = 0; r < kPanelRows; ++r) dot[k / 16][r] += x * w.quant[k][r];
      }
      int32_t low = offsets[T + t] / -8, high = offsets[t] / -8 - low;
      for (int r = 0; r < kPanelRows; ++r) {
        int32_t whole = w.sub[0][r] * dot[0][r] + w.sub[1][r] * dot[1][r];
        sums[t][r] += static_cast<float>(whole) * (w.scale[r] * scales[t]);
        if constexpr (f.has_min && f.half_scales) {
          int32_t mins = w.sub_min[0][r] * low + w.sub_min[1][r] * high;
          sums[t][r] -= static_cast<float>(mins) * (w.min[r] * scales[t]);
        } else if constexpr (f.has_min) {
          sums[t][r] -= w.min[r] * scales[T + t];
        }
      }
    }
  });
  for (int t = 0; t < T; ++t) store_sums(sums[t], t, out);
}

template <DType D, int T>
void tile_bf16(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  float sums[T][kPanelRows] = {};
  for_groups<D>(panel, groups, [&](int64_t g, const Group<D>& w) {
    const uint8_t* record = tile + g * kBF16GroupBytes * T;
    const auto* a = reinterpret_cast<const uint16_t*>(record);
    const auto* group_sums = reinterpret_cast<const float*>(record + 64 * T);
    for (int t = 0; t < T; ++t) {
      float dot[2][kPanelRows] = {};
      for (int k = 0; k < kGroupK; ++k) {
        float x = bits_to_f32(static_cast<uint32_t>(a[bf16_pair(k) * 2 * T + t * 2 + bf16_side(k)]) << 16);
        int half = f.half_scales ? k / 16 : 0;
        for (int r = 0; r < kPanelRows; ++r) dot[half][r] += x * static_cast<float>(w.quant[k][r]);
      }
      float low = group_sums[t], high = group_sums[T + t];
      for (int r = 0; r < kPanelRows; ++r) {
        float whole = dot[0][r], mins = low + high;
        if constexpr (f.half_scales) {
          whole = static_cast<float>(w.sub[0][r]) * dot[0][r] + static_cast<float>(w.sub[1][r]) * dot[1][r];
          mins = static_cast<float>(w.sub_min[0][r]) * low + static_cast<float>(w.sub_min[1][r]) * high;
        }
        sums[t][r] += w.scale[r] * whole;
        if constexpr (f.has_min) sums[t][r] -= w.min[r] * mins;
      }
    }
  });
  for (int t = 0; t < T; ++t) store_sums(sums[t], t, out);
}

template <DType D, int T>
void tile_f32(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  float sums[T][kPanelRows] = {};
  for_groups<D>(panel, groups, [&](int64_t g, const Group<D>& w) {
    const auto* a = reinterpret_cast<const float*>(tile + g * kF32GroupBytes * T);
    for (int k = 0; k < kGroupK; ++k) {
      float weight[kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) {
        float scale = w.scale[r], min = w.min[r];
        if constexpr (f.half_scales) {
          scale *= static_cast<float>(w.sub[k / 16][r]);
          min *= static_cast<float>(w.sub_min[k / 16][r]);
        }
        float v = scale * static_cast<float>(w.quant[k][r]);
        weight[r] = f.has_min ? v - min : v;
      }
      for (int t = 0; t < T; ++t) {
        for (int r = 0; r < kPanelRows; ++r) sums[t][r] += a[k * T + t] * weight[r];
      }
    }
  });
  for (int t = 0; t < T; ++t) store_sums(sums[t], t, out);
}

template <DType D>
float float_weight(const uint8_t* group, int k, int r) {
  uint16_t half;
  if constexpr (D == DType::kF32) {
    return reinterpret_cast<const float*>(group)[k * kPanelRows + r];
  } else if constexpr (D == DType::kF16) {
    return f16_to_f32(group + (k * kPanelRows + r) * 2);
  } else {
    __builtin_memcpy(&half, group + (bf16_pair(k) * kPanelRows + r) * 4 + bf16_side(k) * 2, 2);
    return bits_to_f32(static_cast<uint32_t>(half) << 16);
  }
}

// Float weights with bf16 or f32 activations.
template <DType D, bool kRounded, int T>
void tile_float(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  float sums[T][kPanelRows] = {};
  for (int64_t g = 0; g < groups; ++g) {
    const uint8_t* group = panel + g * float_group_bytes_of<D>;
    for (int k = 0; k < kGroupK; ++k) {
      float weight[kPanelRows];
      for (int r = 0; r < kPanelRows; ++r) weight[r] = float_weight<D>(group, k, r);
      for (int t = 0; t < T; ++t) {
        float x;
        if constexpr (kRounded) {
          const auto* a = reinterpret_cast<const uint16_t*>(tile + g * kBF16GroupBytes * T);
          x = bits_to_f32(static_cast<uint32_t>(a[bf16_pair(k) * 2 * T + t * 2 + bf16_side(k)]) << 16);
        } else {
          x = reinterpret_cast<const float*>(tile + g * kF32GroupBytes * T)[k * T + t];
        }
        for (int r = 0; r < kPanelRows; ++r) sums[t][r] += x * weight[r];
      }
    }
  }
  for (int t = 0; t < T; ++t) store_sums(sums[t], t, out);
}

template <DType D>
void gemm_quantized(const GemmArgs& a) {
  static constexpr TileKernel kBF16[] = {tile_bf16<D, 1>, tile_bf16<D, 2>, tile_bf16<D, 3>, tile_bf16<D, 4>};
  static constexpr TileKernel kF32[] = {tile_f32<D, 1>, tile_f32<D, 2>, tile_f32<D, 3>, tile_f32<D, 4>};
  if (a.precision != Precision::kInt8)
    return run_tile_kernels(a, kTile, a.precision == Precision::kBF16 ? kBF16 : kF32);
  if constexpr (has_integer_weights(D)) {
    static constexpr TileKernel kInt8[] = {tile_int8<D, 1>, tile_int8<D, 2>, tile_int8<D, 3>,
                                           tile_int8<D, 4>};
    run_tile_kernels(a, kTile, kInt8);
  } else {
    __builtin_trap();  // the caller picks kBF16 for float weights
  }
}

template <DType D>
void gemm_float(const GemmArgs& a) {
  static constexpr TileKernel kBF16[] = {tile_float<D, true, 1>, tile_float<D, true, 2>,
                                         tile_float<D, true, 3>, tile_float<D, true, 4>};
  static constexpr TileKernel kF32[] = {tile_float<D, false, 1>, tile_float<D, false, 2>,
                                        tile_float<D, false, 3>, tile_float<D, false, 4>};
  if (a.precision == Precision::kInt8) __builtin_trap();  // the caller picks kBF16 for float weights
  run_tile_kernels(a, kTile, a.precision == Precision::kBF16 ? kBF16 : kF32);
}

void gemm(const GemmArgs& a) {
  for_weight_type(a.weight.dtype, [&](auto type) {
    if constexpr (quant_format(type.value).low_bits > 0) {
      gemm_quantized<type.value>(a);
    } else {
      gemm_float<type.value>(a);
    }
  });
}

int64_t activation_tile(Precision) {
  return kTile;
}

int64_t activation_bytes(Precision p, int64_t m, int64_t k) {
  return padded_activation_bytes(p, kTile, m, k);
}

void pack_activations(Precision p, const float* x, int64_t x_stride, int64_t m, int64_t k, int64_t tile_begin,
                      int64_t tile_end, std::byte* dst) {
  pack_tiles(p, kTile, x, x_stride, m, k, tile_begin, tile_end, dst);
}

}  // namespace
}  // namespace turgo::scalar
