// Packing, and the way back. A panel is 32 rows; rows past n are zero bytes. All offsets in bytes.
//
// Planes of one group of 32 rows x 32 k, row r, quant k; a 32-bit word is 4 consecutive k of one row, so that
// 64 bytes are the operand of one dot instruction over 16 rows (32 bytes: over 8 rows):
//   byte plane   1024  [8][32] words: word (k / 4, r) = quants k … k + 3
//   nibble plane  512  [4][32] words: word (j, r) = low nibbles k = 4 j …, high nibbles k = 16 + 4 j …
//                      (the file's own pairing: a row's 16 bytes are its 4 words)
//   crumb plane   256  [2][32] words: word (s, r), bits 2 j of its bytes = k = 16 s + 4 j …
//   bit plane     128  [8][32] half bytes: nibble r of row j = k = 4 j … (a 64-bit mask per 16 rows)
//
// Blocks (d, m, dmin: f16 [32]; bytes per weight, in brackets those of the file):
//   Q4_0   d 64 | nibbles 512                                                  0.5625 (0.5625)
//   Q4_1   d 64 | m 64 | nibbles 512                                           0.625  (0.625)
//   Q5_0   d 64 | nibbles 512 | bits 128                                       0.6875 (0.6875)
//   Q5_1   d 64 | m 64 | nibbles 512 | bits 128                                0.75   (0.75)
//   Q8_0   d 64 | bytes 1024, stored as quant + 128                            1.0625 (1.0625)
//   Q2_K   d 64 | dmin 64 | 8 x { [2][32] scale | min << 4 · 64 | crumbs 256 } 0.3281 (0.3281)
//   Q3_K   d 64 | 8 x { [2][32] int8 scale - 32 · 64 | crumbs 256 | bits 128 } 0.4453 (0.4297)
//   Q4_K   d 64 | dmin 64 | 8 x { scale u8 [32] | min u8 [32] | nibbles 512 }  0.5781 (0.5625)
//   Q5_K   the same with bits 128 after the nibbles                            0.7031 (0.6875)
//   Q6_K   d 64 | 8 x { [2][32] int8 scale · 64 | nibbles 512 | crumbs 256 }   0.8203 (0.8203)
//   W4G32, G64, G128  d 64 | z 64 | 1, 2, 4 x nibbles 512         0.625, 0.5625, 0.5312 (the same)
//   W3G32  d 64 | z 64 | crumbs 256 | bits 128                                 0.5    (0.5)
//   W2G32  d 64 | z 64 | crumbs 256                                            0.375  (0.375)
//   W8G64  f32 d 128 | 2 x bytes 1024, stored as quant + 128                   1.0625 (1.0625)
//   F8G64  f32 d 128 | 2 x bytes 1024, e4m3                                    1.0625 (1.0625)
// Only the 6-bit sub-scales of Q3_K, Q4_K, Q5_K are widened, to bytes: +3.6 %, +2.8 %, +2.3 %.
//   f32, f16  [32 k][32 rows];  bf16  [16][32 rows][2]: pairs of k, the operand of a bf16 dot. k is padded
//   with zeros to a multiple of 32.
#include "kernels/common/packed_weight.h"

#include <cstring>

#include "kernels/common/packed_layout.h"
#include "kernels/common/raw_block.h"

namespace turgo {
namespace {

int64_t ceil_groups(int64_t k) {
  return (k + kGroupK - 1) / kGroupK;
}

// Byte and shift of the low / high bits of (row, k) inside their plane.
struct Place {
  int byte, shift;
};

Place low_place(int bits, int row, int k) {
  if (bits == 8) return {k / 4 * 128 + row * 4 + k % 4, 0};
  if (bits == 4) return {k % 16 / 4 * 128 + row * 4 + k % 4, k / 16 * 4};
  return {k / 16 * 128 + row * 4 + k % 4, k % 16 / 4 * 2};
}

Place high_place(int bits, int row, int k) {
  if (bits == 2) return low_place(2, row, k);
  return {k / 4 * 16 + row / 2, row % 2 * 4 + k % 4};
}

uint8_t get_quant(const QuantFormat& f, const QuantLayout& l, const uint8_t* group, int row, int k) {
  Place p = low_place(f.low_bits, row, k);
  int q = (group[l.low_offset + p.byte] >> p.shift) & ((1 << f.low_bits) - 1);
  if (f.high_bits > 0) {
    Place h = high_place(f.high_bits, row, k);
    q |= ((group[l.high_offset + h.byte] >> h.shift) & ((1 << f.high_bits) - 1)) << f.low_bits;
  }
  return static_cast<uint8_t>(q);
}

uint32_t load_word(const uint8_t* p) {
  uint32_t w;
  std::memcpy(&w, p, 4);
  return w;
}

void store_word(uint8_t* p, uint32_t w) {
  std::memcpy(p, &w, 4);
}

// Bits kShift … of 16 quants as the word of a crumb plane.
uint32_t crumb_word(const uint8_t* q, int shift) {
  uint32_t w = 0;
  for (int j = 0; j < 4; ++j) w |= ((load_word(q + 4 * j) >> shift) & 0x03030303u) << (2 * j);
  return w;
}

// The 32 quants of one row of a group, four k at a time, into zeroed planes.
void put_quants(const QuantFormat& f, const QuantLayout& l, const uint8_t* q, int row, uint8_t* group) {
  uint8_t* low = group + l.low_offset + row * 4;
  uint8_t* high = group + l.high_offset;
  if (f.low_bits == 8) {
    for (int j = 0; j < 8; ++j) store_word(low + j * 128, load_word(q + 4 * j));
  } else if (f.low_bits == 4) {
    for (int j = 0; j < 4; ++j) {
      uint32_t first = load_word(q + 4 * j) & 0x0f0f0f0fu, second = load_word(q + 16 + 4 * j) & 0x0f0f0f0fu;
      store_word(low + j * 128, first | (second << 4));
    }
  } else {
    for (int s = 0; s < 2; ++s) store_word(low + s * 128, crumb_word(q + 16 * s, 0));
  }
  if (f.high_bits == 1) {
    for (int j = 0; j < 8; ++j) {
      uint32_t w = (load_word(q + 4 * j) >> f.low_bits) & 0x01010101u;
      uint32_t nibble = (w | (w >> 7) | (w >> 14) | (w >> 21)) & 15;
      high[j * 16 + row / 2] |= static_cast<uint8_t>(nibble << (row % 2 * 4));
    }
  } else if (f.high_bits == 2) {
    for (int s = 0; s < 2; ++s) store_word(high + row * 4 + s * 128, crumb_word(q + 16 * s, f.low_bits));
  }
}

// The two sub-scale bytes of a row: for halves (first, second 16 k), else (scale, min).
void get_sub_scales(DType t, const QuantFormat& f, const uint8_t* group, int row, int g, RawBlock& raw) {
  uint8_t a = group[row], b = group[32 + row];
  if (!f.half_scales) {
    raw.sub_scales[g] = a;
    raw.sub_mins[g] = b;
    return;
  }
  for (int h = 0; h < 2; ++h) {
    uint8_t v = h == 0 ? a : b;
    int i = 2 * g + h;
    raw.sub_scales[i] = t == DType::kQ2_K ? v & 15 : t == DType::kQ3_K ? static_cast<uint8_t>(v + 32) : v;
    raw.sub_mins[i] = t == DType::kQ2_K ? v >> 4 : 0;
  }
}

void put_sub_scales(DType t, const QuantFormat& f, const RawBlock& raw, int g, int row, uint8_t* group) {
  if (!f.half_scales) {
    group[row] = raw.sub_scales[g];
    group[32 + row] = raw.sub_mins[g];
    return;
  }
  for (int h = 0; h < 2; ++h) {
    int i = 2 * g + h, v = raw.sub_scales[i];
    if (t == DType::kQ2_K) v |= raw.sub_mins[i] << 4;
    if (t == DType::kQ3_K) v -= 32;
    group[32 * h + row] = static_cast<uint8_t>(v);
  }
}

void put_block(DType t, const RawBlock& raw, int row, uint8_t* block) {
  QuantFormat f = quant_format(t);
  QuantLayout l = quant_layout(t);
  int size = f.f32_scale ? 4 : 2;
  std::memcpy(block + row * size, &raw.scale, static_cast<size_t>(size));
  if (f.has_min) std::memcpy(block + 64 + row * 2, &raw.min, 2);
  for (int g = 0; g < l.groups_per_block; ++g) {
    uint8_t* group = block + l.head_bytes + g * l.group_bytes;
    if (f.super_block) put_sub_scales(t, f, raw, g, row, group);
    put_quants(f, l, raw.quants + g * kGroupK, row, group);
  }
}

void get_block(DType t, const uint8_t* block, int row, RawBlock& raw) {
  QuantFormat f = quant_format(t);
  QuantLayout l = quant_layout(t);
  int size = f.f32_scale ? 4 : 2;
  std::memcpy(&raw.scale, block + row * size, static_cast<size_t>(size));
  if (f.has_min) std::memcpy(&raw.min, block + 64 + row * 2, 2);
  for (int g = 0; g < l.groups_per_block; ++g) {
    const uint8_t* group = block + l.head_bytes + g * l.group_bytes;
    if (f.super_block) get_sub_scales(t, f, group, row, g, raw);
    for (int k = 0; k < kGroupK; ++k) raw.quants[g * kGroupK + k] = get_quant(f, l, group, row, k);
  }
}

// Types of bytes or nibbles alone move whole words; packing a model is then a matter of memory speed.
bool moves_words(DType t) {
  QuantFormat f = quant_format(t);
  return f.low_bits >= 4 && f.high_bits == 0 && !f.super_block;
}

void put_words(DType t, const uint8_t* file, int row, uint8_t* block) {
  QuantFormat f = quant_format(t);
  QuantLayout l = quant_layout(t);
  int size = f.f32_scale ? 4 : 2;
  std::memcpy(block + row * size, file, static_cast<size_t>(size));
  file += size;
  if (f.has_min) std::memcpy(block + 64 + row * 2, file, 2), file += 2;
  uint32_t flip = f.offset == 128 ? 0x80808080u : 0;
  for (int g = 0; g < l.groups_per_block; ++g, file += 4 * f.low_bits) {
    uint8_t* words = block + l.head_bytes + g * l.group_bytes + l.low_offset + row * 4;
    for (int j = 0; j < f.low_bits; ++j) store_word(words + j * 128, load_word(file + 4 * j) ^ flip);
  }
}

// Byte offset of element (row, k) of a float panel; `size` bytes per element.
int64_t float_offset(DType t, int64_t size, int64_t row, int64_t k) {
  if (t == DType::kBF16) return ((k / 4 * 2 + k % 2) * kPanelRows + row) * 4 + k % 4 / 2 * 2;
  return (k * kPanelRows + row) * size;
}

// k in [k_begin, k_end) of one row.
template <class Bits>
void put_floats(DType t, const uint8_t* src, int64_t row, int64_t k_begin, int64_t k_end, uint8_t* panel) {
  for (int64_t i = k_begin; i < k_end; ++i) {
    std::memcpy(panel + float_offset(t, sizeof(Bits), row, i), src + i * static_cast<int64_t>(sizeof(Bits)),
                sizeof(Bits));
  }
}

void get_float_row(DType t, const uint8_t* panel, int64_t row, int64_t k, uint8_t* dst) {
  int64_t size = dtype_info(t).block_bytes;
  for (int64_t i = 0; i < k; ++i) {
    std::memcpy(dst + i * size, panel + float_offset(t, size, row, i), static_cast<size_t>(size));
  }
}

float f16_bits(uint32_t bits) {
  return to_f32(f16{static_cast<uint16_t>(bits)});
}

// The order of the operations is that of the reference dequantize_row, so that results are equal bit for bit.
void dequantize_raw(DType t, const RawBlock& raw, float* dst) {
  QuantFormat f = quant_format(t);
  float d = f.f32_scale ? std::bit_cast<float>(raw.scale) : f16_bits(raw.scale);
  float m = f.min_is_zero_point ? d * -f16_bits(raw.min) : f16_bits(raw.min);
  int num = dtype_info(t).block_size;
  for (int i = 0; i < num; ++i) {
    float q = f.e4m3 ? to_f32(e4m3{raw.quants[i]}) : static_cast<float>(raw.quants[i] - f.offset);
    float scale = d, min = -m;
    if (f.super_block) {
      int s = f.half_scales ? i / 16 : i / 32;
      int sc = raw.sub_scales[s];
      if (t == DType::kQ3_K) sc -= 32;
      if (t == DType::kQ6_K) sc = static_cast<int8_t>(raw.sub_scales[s]);
      scale = d * static_cast<float>(sc);
      min = m * static_cast<float>(raw.sub_mins[s]);
    }
    float v = scale * q;
    dst[i] = f.has_min ? v - min : v;
  }
}

const uint8_t* panel_of(const PackedWeight& w, int64_t row) {
  return reinterpret_cast<const uint8_t*>(w.data) + row / kPanelRows * packed_panel_bytes(w.dtype, w.k);
}

// Both walk k outside and rows inside: what is being written stays in the first cache.
void pack_quantized_panel(DType t, const uint8_t* rows, int64_t stride, int num_rows, int64_t k,
                          uint8_t* panel) {
  DTypeInfo info = dtype_info(t);
  bool words = moves_words(t);
  int64_t block_bytes = quant_layout(t).block_bytes;
  for (int64_t b = 0; b < k / info.block_size; ++b, panel += block_bytes) {
    for (int row = 0; row < num_rows; ++row) {
      const uint8_t* src = rows + row * stride + b * info.block_bytes;
      if (words) {
        put_words(t, src, row, panel);
      } else {
        RawBlock raw;
        split_block(t, src, raw);
        put_block(t, raw, row, panel);
      }
    }
  }
}

void pack_float_panel(DType t, const uint8_t* rows, int64_t stride, int num_rows, int64_t k, uint8_t* panel) {
  for (int64_t begin = 0; begin < k; begin += kGroupK) {
    int64_t end = begin + kGroupK < k ? begin + kGroupK : k;
    for (int row = 0; row < num_rows; ++row) {
      if (t == DType::kF32) {
        put_floats<uint32_t>(t, rows + row * stride, row, begin, end, panel);
      } else {
        put_floats<uint16_t>(t, rows + row * stride, row, begin, end, panel);
      }
    }
  }
}

}  // namespace

bool can_pack(DType dtype) {
  return is_quantized(dtype) || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

int64_t packed_panel_bytes(DType dtype, int64_t k) {
  if (!is_quantized(dtype)) return ceil_groups(k) * float_group_bytes(dtype);
  QuantLayout l = quant_layout(dtype);
  return k / (l.groups_per_block * kGroupK) * l.block_bytes;
}

void pack_weight(DType dtype, const void* rows, int64_t row_stride_bytes, int64_t n, int64_t k,
                 int64_t panel_begin, int64_t panel_end, std::byte* dst) {
  int64_t panel_bytes = packed_panel_bytes(dtype, k);
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    auto* panel = reinterpret_cast<uint8_t*>(dst) + p * panel_bytes;
    std::memset(panel, 0, static_cast<size_t>(panel_bytes));
    const auto* first = static_cast<const uint8_t*>(rows) + p * kPanelRows * row_stride_bytes;
    int64_t left = n - p * kPanelRows;
    int num_rows = static_cast<int>(left < kPanelRows ? left : kPanelRows);
    if (is_quantized(dtype)) {
      pack_quantized_panel(dtype, first, row_stride_bytes, num_rows, k, panel);
    } else {
      pack_float_panel(dtype, first, row_stride_bytes, num_rows, k, panel);
    }
  }
}

void unpack_row(const PackedWeight& weight, int64_t row, void* dst) {
  const uint8_t* panel = panel_of(weight, row);
  auto* out = static_cast<uint8_t*>(dst);
  int in_panel = static_cast<int>(row % kPanelRows);
  DTypeInfo info = dtype_info(weight.dtype);
  if (!is_quantized(weight.dtype)) return get_float_row(weight.dtype, panel, in_panel, weight.k, out);
  for (int64_t b = 0; b < weight.k / info.block_size; ++b) {
    RawBlock raw;
    get_block(weight.dtype, panel + b * quant_layout(weight.dtype).block_bytes, in_panel, raw);
    join_block(weight.dtype, raw, out + b * info.block_bytes);
  }
}

void dequantize_packed_row(const PackedWeight& weight, int64_t row, float* dst) {
  const uint8_t* panel = panel_of(weight, row);
  int in_panel = static_cast<int>(row % kPanelRows);
  DType t = weight.dtype;
  if (is_quantized(t)) {
    for (int64_t b = 0; b < weight.k / dtype_info(t).block_size; ++b) {
      RawBlock raw;
      get_block(t, panel + b * quant_layout(t).block_bytes, in_panel, raw);
      dequantize_raw(t, raw, dst + b * dtype_info(t).block_size);
    }
    return;
  }
  int64_t size = dtype_info(t).block_bytes;
  for (int64_t i = 0; i < weight.k; ++i) {
    const uint8_t* p = panel + float_offset(t, size, in_panel, i);
    uint16_t half;
    if (t == DType::kF32) {
      std::memcpy(dst + i, p, 4);
    } else {
      std::memcpy(&half, p, 2);
      dst[i] = t == DType::kF16 ? f16_bits(half) : to_f32(bf16{half});
    }
  }
}

}  // namespace turgo
