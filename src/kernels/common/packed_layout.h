// Where every byte of a packed weight lies: constants only, shared by packing (packed_weight.cpp) and by the
// kernels of every ISA. A panel holds 32 rows. k runs in groups of 32; a block is one group, or for the K
// types a head and eight groups. The drawings of the planes stand in packed_weight.cpp.
//
// Nothing here may be called at run time from an ISA file: the functions are evaluated at compile time, so
// that no inline copy compiled for a newer CPU can be linked into baseline code.
#pragma once

#include "core/dtype.h"

namespace turgo {

inline constexpr int kGroupK = 32;

// A quantised type as planes of bits. weight = scale * (quant - offset) [+ or - min].
struct QuantFormat {
  int low_bits;      // 8: byte plane, 4: nibble plane, 2: crumb plane
  int high_bits;     // 0, 1 (bit plane) or 2 (crumb plane), above the low bits
  int offset;        // subtracted from the unsigned quant
  bool super_block;  // 256 k share an f16 scale (and min); groups carry integer sub-scales
  bool has_min;
  bool half_scales;                // sub-scales per 16 k instead of per 32 k
  int groups = 1;                  // of 32 k that share a scale (and min), where there are no sub-scales
  bool min_is_zero_point = false;  // min = scale * the stored number
  bool f32_scale = false;
  bool e4m3 = false;  // the low bits are a float, not an integer
};

constexpr QuantFormat quant_format(DType t) {
  switch (t) {
    case DType::kQ4_0:
      return {4, 0, 8, false, false, false};
    case DType::kQ4_1:
      return {4, 0, 0, false, true, false};
    case DType::kQ5_0:
      return {4, 1, 16, false, false, false};
    case DType::kQ5_1:
      return {4, 1, 0, false, true, false};
    case DType::kQ8_0:
      return {8, 0, 128, false, false, false};
    case DType::kQ2_K:
      return {2, 0, 0, true, true, true};
    case DType::kQ3_K:
      return {2, 1, 4, true, false, true};
    case DType::kQ4_K:
      return {4, 0, 0, true, true, false};
    case DType::kQ5_K:
      return {4, 1, 0, true, true, false};
    case DType::kQ6_K:
      return {4, 2, 32, true, false, true};
    case DType::kW4G32:
      return {4, 0, 0, false, true, false, 1, true};
    case DType::kW4G64:
      return {4, 0, 0, false, true, false, 2, true};
    case DType::kW4G128:
      return {4, 0, 0, false, true, false, 4, true};
    case DType::kW3G32:
      return {2, 1, 0, false, true, false, 1, true};
    case DType::kW2G32:
      return {2, 0, 0, false, true, false, 1, true};
    case DType::kW8G64:
      return {8, 0, 128, false, false, false, 2, false, true};
    case DType::kF8G64:
      return {8, 0, 0, false, false, false, 2, false, true, true};
    default:
      return {};
  }
}

// Byte offsets inside one group, and sizes. Scales of one group lie in the group, those of several in a head;
// a super-block's group starts with 64 bytes of sub-scales instead.
struct QuantLayout {
  int groups_per_block;
  int head_bytes;   // f16 (f32) d[32] (, f16 m[32]); 0 if they lie in the group
  int low_offset;   // low plane inside a group
  int high_offset;  // high plane inside a group
  int group_bytes;
  int block_bytes;
};

constexpr QuantLayout quant_layout(DType t) {
  QuantFormat f = quant_format(t);
  int scales = f.has_min || f.f32_scale ? 128 : 64;
  QuantLayout l{};
  l.groups_per_block = f.super_block ? 8 : f.groups;
  bool head = l.groups_per_block > 1;
  l.head_bytes = head ? scales : 0;
  l.low_offset = f.super_block ? 64 : head ? 0 : scales;
  l.high_offset = l.low_offset + f.low_bits * 128;
  l.group_bytes = l.high_offset + f.high_bits * 128;
  l.block_bytes = l.head_bytes + l.groups_per_block * l.group_bytes;
  return l;
}

// Bytes of one group of 32 rows x 32 k of a float type.
constexpr int float_group_bytes(DType t) {
  return 32 * kGroupK * dtype_info(t).block_bytes;
}

template <DType kType>
inline constexpr int float_group_bytes_of = float_group_bytes(kType);

}  // namespace turgo
