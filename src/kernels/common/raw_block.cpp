// Bit fields of the GGUF block types (https://github.com/ggml-org/ggml, ggml-common.h describes the same
// bytes) and of Turgo's own W types (quant_blocks.h).
#include "kernels/common/raw_block.h"

#include <cstring>

namespace turgo {
namespace {

uint16_t load_u16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] | (p[1] << 8));
}

void store_u16(uint8_t* p, uint32_t v) {
  p[0] = static_cast<uint8_t>(v);
  p[1] = static_cast<uint8_t>(v >> 8);
}

// Where the fields of a block of 32 start: d | (m) | (32 high bits) | quants.
struct SmallFields {
  int min, high, quants;  // -1: absent
};

SmallFields small_fields(DType t) {
  switch (t) {
    case DType::kQ4_0:
      return {-1, -1, 2};
    case DType::kQ4_1:
      return {2, -1, 4};
    case DType::kQ5_0:
      return {-1, 2, 6};
    case DType::kQ5_1:
      return {2, 4, 8};
    default:
      return {-1, -1, 2};  // Q8_0
  }
}

void split_small(DType t, const uint8_t* b, RawBlock& raw) {
  SmallFields f = small_fields(t);
  raw.scale = load_u16(b);
  raw.min = f.min < 0 ? uint16_t{0} : load_u16(b + f.min);
  const uint8_t* from = b + f.quants;
  if (t == DType::kQ8_0) {
    for (int i = 0; i < 32; ++i) raw.quants[i] = from[i] ^ 0x80;
    return;
  }
  for (int i = 0; i < 16; ++i) {
    raw.quants[i] = from[i] & 15;
    raw.quants[16 + i] = from[i] >> 4;
  }
  if (f.high < 0) return;
  uint32_t high = load_u16(b + f.high) | static_cast<uint32_t>(load_u16(b + f.high + 2)) << 16;
  for (int i = 0; i < 32; ++i) raw.quants[i] |= static_cast<uint8_t>(((high >> i) & 1) << 4);
}

void join_small(DType t, const RawBlock& raw, uint8_t* b) {
  SmallFields f = small_fields(t);
  store_u16(b, raw.scale);
  if (f.min >= 0) store_u16(b + f.min, raw.min);
  for (int i = 0; i < 32; ++i) {
    int q = raw.quants[i];
    if (t == DType::kQ8_0) {
      b[f.quants + i] = static_cast<uint8_t>(q ^ 0x80);
    } else {
      b[f.quants + i % 16] |= static_cast<uint8_t>((q & 15) << (i / 16 * 4));
      if (f.high >= 0) b[f.high + i / 8] |= static_cast<uint8_t>((q >> 4) << (i % 8));
    }
  }
}

// The W types: d | z | quants (| high bits); W8, F8: f32 d | quants.
int w_bits(DType t) {
  switch (t) {
    case DType::kW4G32:
    case DType::kW4G64:
    case DType::kW4G128:
      return 4;
    case DType::kW3G32:
      return 3;
    case DType::kW2G32:
      return 2;
    case DType::kW8G64:
    case DType::kF8G64:
      return 8;
    default:
      return 0;
  }
}

// W8 holds signed bytes, RawBlock unsigned ones.
uint8_t byte_flip(DType t) {
  return t == DType::kW8G64 ? 0x80 : 0;
}

void split_w(DType t, const uint8_t* b, RawBlock& raw) {
  const int n = dtype_info(t).block_size;
  const uint8_t* from = b + 4;
  raw.scale = load_u16(b);
  raw.min = load_u16(b + 2);
  if (w_bits(t) == 8) {
    raw.scale |= static_cast<uint32_t>(raw.min) << 16;
    raw.min = 0;
    for (int i = 0; i < n; ++i) raw.quants[i] = from[i] ^ byte_flip(t);
  } else if (w_bits(t) == 4) {
    for (int i = 0; i < n; ++i)
      raw.quants[i] = static_cast<uint8_t>((from[i / 32 * 16 + i % 16] >> (i % 32 / 16 * 4)) & 15);
  } else {
    for (int i = 0; i < n; ++i) {
      raw.quants[i] = static_cast<uint8_t>((from[i / 4] >> (i % 4 * 2)) & 3);
      if (t == DType::kW3G32) raw.quants[i] |= static_cast<uint8_t>(((from[8 + i / 8] >> (i % 8)) & 1) << 2);
    }
  }
}

void join_w(DType t, const RawBlock& raw, uint8_t* b) {
  const int n = dtype_info(t).block_size;
  uint8_t* to = b + 4;
  store_u16(b, raw.scale);
  store_u16(b + 2, w_bits(t) == 8 ? raw.scale >> 16 : raw.min);
  for (int i = 0; i < n; ++i) {
    int q = raw.quants[i];
    if (w_bits(t) == 8) {
      to[i] = static_cast<uint8_t>(q ^ byte_flip(t));
    } else if (w_bits(t) == 4) {
      to[i / 32 * 16 + i % 16] |= static_cast<uint8_t>((q & 15) << (i % 32 / 16 * 4));
    } else {
      to[i / 4] |= static_cast<uint8_t>((q & 3) << (i % 4 * 2));
      if (t == DType::kW3G32) to[8 + i / 8] |= static_cast<uint8_t>((q >> 2) << (i % 8));
    }
  }
}

// The K types. Fields as byte offsets; the quants of element e lie at the places that the helpers name.
struct SuperFields {
  int scale, min, sub_scales, low, high;  // -1: absent
};

SuperFields super_fields(DType t) {
  switch (t) {
    case DType::kQ2_K:
      return {80, 82, 0, 16, -1};
    case DType::kQ3_K:
      return {108, -1, 96, 32, 0};
    case DType::kQ4_K:
      return {0, 2, 4, 16, -1};
    case DType::kQ5_K:
      return {0, 2, 4, 48, 16};
    default:
      return {208, -1, 192, 0, 128};  // Q6_K
  }
}

// Bits of the 32 elements 32 g … 32 g + 31: consecutive bytes, one shift.
struct BitPlace {
  int byte, shift, mask;
};

// Low bits of group g, relative to the low field.
BitPlace low_place(DType t, int g) {
  switch (t) {
    case DType::kQ2_K:
    case DType::kQ3_K:
      return {g / 4 * 32, g % 4 * 2, 3};
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {g / 2 * 32, g % 2 * 4, 15};
    default:
      return {g / 4 * 64 + g % 2 * 32, g / 2 % 2 * 4, 15};
  }
}

// High bits of group g, relative to the high field.
BitPlace high_place(DType t, int g) {
  if (t == DType::kQ6_K) return {g / 4 * 32, g % 4 * 2, 3};
  return {0, g, 1};
}

int low_width(DType t) {
  return t == DType::kQ2_K || t == DType::kQ3_K ? 2 : 4;
}

// Q4_K, Q5_K: 12 bytes hold eight 6-bit scales and eight 6-bit mins.
void split_sub6(const uint8_t* s, RawBlock& raw) {
  for (int j = 0; j < 4; ++j) {
    raw.sub_scales[j] = s[j] & 63;
    raw.sub_mins[j] = s[j + 4] & 63;
    raw.sub_scales[j + 4] = static_cast<uint8_t>((s[j + 8] & 15) | (s[j] >> 6 << 4));
    raw.sub_mins[j + 4] = static_cast<uint8_t>((s[j + 8] >> 4) | (s[j + 4] >> 6 << 4));
  }
}

void join_sub6(const RawBlock& raw, uint8_t* s) {
  for (int j = 0; j < 4; ++j) {
    s[j] = static_cast<uint8_t>(raw.sub_scales[j] | (raw.sub_scales[j + 4] >> 4 << 6));
    s[j + 4] = static_cast<uint8_t>(raw.sub_mins[j] | (raw.sub_mins[j + 4] >> 4 << 6));
    s[j + 8] = static_cast<uint8_t>((raw.sub_scales[j + 4] & 15) | ((raw.sub_mins[j + 4] & 15) << 4));
  }
}

void split_sub_scales(DType t, const uint8_t* s, RawBlock& raw) {
  if (t == DType::kQ4_K || t == DType::kQ5_K) return split_sub6(s, raw);
  for (int i = 0; i < 16; ++i) {
    if (t == DType::kQ6_K) {
      raw.sub_scales[i] = s[i];
    } else if (t == DType::kQ2_K) {
      raw.sub_scales[i] = s[i] & 15;
      raw.sub_mins[i] = s[i] >> 4;
    } else {  // Q3_K: low nibbles in bytes 0–7, upper two bits in bytes 8–11
      raw.sub_scales[i] =
          static_cast<uint8_t>(((s[i % 8] >> (i / 8 * 4)) & 15) | (((s[8 + i % 4] >> (i / 4 * 2)) & 3) << 4));
    }
  }
}

void join_sub_scales(DType t, const RawBlock& raw, uint8_t* s) {
  if (t == DType::kQ4_K || t == DType::kQ5_K) return join_sub6(raw, s);
  for (int i = 0; i < 16; ++i) {
    int sc = raw.sub_scales[i];
    if (t == DType::kQ6_K) {
      s[i] = static_cast<uint8_t>(sc);
    } else if (t == DType::kQ2_K) {
      s[i] = static_cast<uint8_t>(sc | (raw.sub_mins[i] << 4));
    } else {
      s[i % 8] |= static_cast<uint8_t>((sc & 15) << (i / 8 * 4));
      s[8 + i % 4] |= static_cast<uint8_t>((sc >> 4) << (i / 4 * 2));
    }
  }
}

void split_super(DType t, const uint8_t* b, RawBlock& raw) {
  SuperFields f = super_fields(t);
  raw.scale = load_u16(b + f.scale);
  raw.min = f.min < 0 ? uint16_t{0} : load_u16(b + f.min);
  split_sub_scales(t, b + f.sub_scales, raw);
  for (int g = 0; g < 8; ++g) {
    uint8_t* q = raw.quants + 32 * g;
    BitPlace low = low_place(t, g);
    const uint8_t* from = b + f.low + low.byte;
    for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>((from[i] >> low.shift) & low.mask);
    if (f.high < 0) continue;
    BitPlace high = high_place(t, g);
    from = b + f.high + high.byte;
    int width = low_width(t);
    for (int i = 0; i < 32; ++i) q[i] |= static_cast<uint8_t>(((from[i] >> high.shift) & high.mask) << width);
  }
}

void join_super(DType t, const RawBlock& raw, uint8_t* b) {
  SuperFields f = super_fields(t);
  store_u16(b + f.scale, raw.scale);
  if (f.min >= 0) store_u16(b + f.min, raw.min);
  join_sub_scales(t, raw, b + f.sub_scales);
  for (int g = 0; g < 8; ++g) {
    const uint8_t* q = raw.quants + 32 * g;
    BitPlace low = low_place(t, g);
    uint8_t* to = b + f.low + low.byte;
    for (int i = 0; i < 32; ++i) to[i] |= static_cast<uint8_t>((q[i] & low.mask) << low.shift);
    if (f.high < 0) continue;
    BitPlace high = high_place(t, g);
    to = b + f.high + high.byte;
    int width = low_width(t);
    for (int i = 0; i < 32; ++i) to[i] |= static_cast<uint8_t>((q[i] >> width) << high.shift);
  }
}

}  // namespace

void split_block(DType dtype, const void* block, RawBlock& raw) {
  const auto* b = static_cast<const uint8_t*>(block);
  if (w_bits(dtype)) return split_w(dtype, b, raw);
  if (dtype_info(dtype).block_size == 32) return split_small(dtype, b, raw);
  split_super(dtype, b, raw);
}

void join_block(DType dtype, const RawBlock& raw, void* block) {
  auto* b = static_cast<uint8_t*>(block);
  std::memset(b, 0, static_cast<size_t>(dtype_info(dtype).block_bytes));
  if (w_bits(dtype)) return join_w(dtype, raw, b);
  if (dtype_info(dtype).block_size == 32) return join_small(dtype, raw, b);
  join_super(dtype, raw, b);
}

}  // namespace turgo
