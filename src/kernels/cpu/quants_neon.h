// NEON: the planes of a packed group as operands. A vector holds 4 rows (`part` 0 … 7 of the panel) x 4 k
// (`word` = k / 4) as unsigned bytes, offset not subtracted.
#pragma once

#include <arm_neon.h>

#include "kernels/cpu/gemm_common.h"

namespace turgo::neon {
namespace {

constexpr int kParts = kPanelRows / 4;
constexpr int kPrefetchAhead = 4 << 10;

// Bits 2 * field … + 1 of every byte.
template <int kField>
[[gnu::always_inline]] inline uint8x16_t crumbs(uint8x16_t x) {
  if constexpr (kField > 0) x = vshrq_n_u8(x, 2 * kField);
  return vandq_u8(x, vdupq_n_u8(3));
}

// 16 bits -> 16 bytes of `value` or 0.
[[gnu::always_inline]] inline uint8x16_t expand_bits(const uint8_t* p, uint8_t value) {
  constexpr uint64_t kBitOf = 0x8040201008040201u;
  uint8x16_t bytes = vcombine_u8(vdup_n_u8(p[0]), vdup_n_u8(p[1]));
  return vandq_u8(vtstq_u8(bytes, vreinterpretq_u8_u64(vdupq_n_u64(kBitOf))), vdupq_n_u8(value));
}

template <DType D, int kWord>
[[gnu::always_inline]] inline uint8x16_t quants(const uint8_t* group, int part) {
  constexpr QuantFormat f = quant_format(D);
  constexpr QuantLayout l = quant_layout(D);
  const uint8_t* low = group + l.low_offset + part * 16;
  const uint8_t* high = group + l.high_offset;
  uint8x16_t x;
  if constexpr (f.low_bits == 8) {
    x = vld1q_u8(low + kWord * 128);
  } else if constexpr (f.low_bits == 4) {
    x = vld1q_u8(low + kWord % 4 * 128);
    x = kWord >= 4 ? vshrq_n_u8(x, 4) : vandq_u8(x, vdupq_n_u8(15));
  } else {
    x = crumbs<kWord % 4>(vld1q_u8(low + kWord / 4 * 128));
  }
  if constexpr (f.high_bits == 1) {
    x = vorrq_u8(x, expand_bits(high + kWord * 16 + part * 2, 1 << f.low_bits));
  } else if constexpr (f.high_bits == 2) {
    x = vorrq_u8(x, vshlq_n_u8(crumbs<kWord % 4>(vld1q_u8(high + part * 16 + kWord / 4 * 128)), 4));
  }
  return x;
}

[[gnu::always_inline]] inline float32x4_t load_f16(const uint8_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}

// 4 bytes as u32.
[[gnu::always_inline]] inline uint32x4_t load_u8(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, 4);
  return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(word))));
}
[[gnu::always_inline]] inline int32x4_t load_s8(const uint8_t* p) {
  uint32_t word;
  __builtin_memcpy(&word, p, 4);
  return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(word))));
}

// e4m3 in the low bytes of 32-bit lanes, the others zero. Subnormals are counted down from 2^-6, so that no
// f32 subnormal comes up.
[[gnu::always_inline]] inline float32x4_t e4m3_to_f32(uint32x4_t byte) {
  const uint32x4_t rest = vandq_u32(byte, vdupq_n_u32(0x7f)), small = vcltq_u32(rest, vdupq_n_u32(8));
  const uint32x4_t exponent = vbslq_u32(small, vdupq_n_u32(121 << 3), vdupq_n_u32(120 << 3));
  float32x4_t v = vreinterpretq_f32_u32(vshlq_n_u32(vaddq_u32(rest, exponent), 20));
  const uint32x4_t step = vandq_u32(small, vreinterpretq_u32_f32(vdupq_n_f32(0x1p-6f)));
  v = vsubq_f32(v, vreinterpretq_f32_u32(step));
  const uint32x4_t sign = vshlq_n_u32(veorq_u32(byte, rest), 24);
  return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(v), sign));
}

// Quants in the low bytes of 32-bit lanes as numbers, the offset subtracted.
template <DType D>
[[gnu::always_inline]] inline float32x4_t quants_to_f32(uint32x4_t bytes) {
  constexpr QuantFormat f = quant_format(D);
  if constexpr (f.e4m3) return e4m3_to_f32(bytes);
  return vcvtq_f32_s32(vsubq_s32(vreinterpretq_s32_u32(bytes), vdupq_n_s32(f.offset)));
}

// Scales of 4 rows of a group: weight = scale[half of k] * quant - min[half of k]. Types without sub-scales
// per 16 k use index 0.
struct Scales {
  float32x4_t scale[2], min[2];
};

template <DType D>
[[gnu::always_inline]] inline Scales load_scales(const uint8_t* block, const uint8_t* group, int part) {
  constexpr QuantFormat f = quant_format(D);
  Scales s;
  float32x4_t d =
      f.f32_scale ? vld1q_f32(reinterpret_cast<const float*>(block) + 4 * part) : load_f16(block + 8 * part);
  float32x4_t m = vdupq_n_f32(0);
  if constexpr (f.has_min) m = load_f16(block + 64 + 8 * part);
  const uint8_t* sub = group + 4 * part;
  if constexpr (D == DType::kQ2_K) {
    for (int i = 0; i < 2; ++i) {
      uint32x4_t v = load_u8(sub + 32 * i);
      s.scale[i] = vmulq_f32(d, vcvtq_f32_u32(vandq_u32(v, vdupq_n_u32(15))));
      s.min[i] = vmulq_f32(m, vcvtq_f32_u32(vshrq_n_u32(v, 4)));
    }
  } else if constexpr (f.half_scales) {
    s.scale[0] = vmulq_f32(d, vcvtq_f32_s32(load_s8(sub)));
    s.scale[1] = vmulq_f32(d, vcvtq_f32_s32(load_s8(sub + 32)));
  } else if constexpr (f.super_block) {
    s.scale[0] = vmulq_f32(d, vcvtq_f32_u32(load_u8(sub)));
    s.min[0] = vmulq_f32(m, vcvtq_f32_u32(load_u8(sub + 32)));
  } else {
    s.scale[0] = d;
    s.min[0] = f.min_is_zero_point ? vmulq_f32(d, m) : vnegq_f32(m);  // stored as + m
  }
  return s;
}

// Calls body(index of the group, block, group) for the groups of a panel.
template <DType D, class Body>
[[gnu::always_inline]] inline void for_groups(const uint8_t* panel, int64_t groups, Body body) {
  constexpr QuantLayout l = quant_layout(D);
  for (int64_t b = 0; b < groups; b += l.groups_per_block, panel += l.block_bytes) {
    for (int g = 0; g < l.groups_per_block; ++g) {
      const uint8_t* group = panel + l.head_bytes + g * l.group_bytes;
      for (int i = 0; i < l.group_bytes; i += 64) __builtin_prefetch(group + kPrefetchAhead + i);
      body(b + g, panel, group);
    }
  }
}

// Sums of a tile between passes, and their way to y.
constexpr int kMaxTile = 6;

struct alignas(16) Sums {
  float at[kMaxTile][kPanelRows];
};

inline void clear(Sums& sums, int tokens) {
  __builtin_memset(sums.at, 0, sizeof(float) * kPanelRows * static_cast<size_t>(tokens));
}

inline void store_tile(const Sums& sums, int tokens, const TileOutput& out) {
  for (int t = 0; t < tokens; ++t) store_sums(sums.at[t], t, out);
}

}  // namespace
}  // namespace turgo::neon
