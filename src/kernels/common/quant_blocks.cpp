#include "kernels/common/quant_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace turgo {
namespace {

// ---- blocks -> f32 ----

void dequantize(const BlockQ4_0& b, float* x) {
  const float d = to_f32(b.d);
  for (int i = 0; i < 16; ++i) {
    x[i] = d * static_cast<float>((b.qs[i] & 15) - 8);
    x[i + 16] = d * static_cast<float>((b.qs[i] >> 4) - 8);
  }
}

void dequantize(const BlockQ4_1& b, float* x) {
  const float d = to_f32(b.d), m = to_f32(b.m);
  for (int i = 0; i < 16; ++i) {
    x[i] = d * static_cast<float>(b.qs[i] & 15) + m;
    x[i + 16] = d * static_cast<float>(b.qs[i] >> 4) + m;
  }
}

// The five-bit numbers of Q5_0 and Q5_1.
void unpack_q5(const uint8_t qh[4], const uint8_t qs[16], int q[32]) {
  uint32_t high;
  std::memcpy(&high, qh, 4);
  for (int i = 0; i < 16; ++i) {
    q[i] = (qs[i] & 15) | static_cast<int>((high >> i & 1) << 4);
    q[i + 16] = (qs[i] >> 4) | static_cast<int>((high >> (i + 16) & 1) << 4);
  }
}

void dequantize(const BlockQ5_0& b, float* x) {
  int q[32];
  unpack_q5(b.qh, b.qs, q);
  const float d = to_f32(b.d);
  for (int i = 0; i < 32; ++i) x[i] = d * static_cast<float>(q[i] - 16);
}

void dequantize(const BlockQ5_1& b, float* x) {
  int q[32];
  unpack_q5(b.qh, b.qs, q);
  const float d = to_f32(b.d), m = to_f32(b.m);
  for (int i = 0; i < 32; ++i) x[i] = d * static_cast<float>(q[i]) + m;
}

void dequantize(const BlockQ8_0& b, float* x) {
  const float d = to_f32(b.d);
  for (int i = 0; i < 32; ++i) x[i] = d * static_cast<float>(b.qs[i]);
}

// Element e of the 2-bit packing that Q2_K and Q3_K share.
int two_bits(const uint8_t qs[64], int e) {
  const int half = e / 128, group = e % 128 / 32, l = e % 32;
  return qs[32 * half + l] >> (2 * group) & 3;
}

void dequantize(const BlockQ2_K& b, float* x) {
  const float d = to_f32(b.d), dmin = to_f32(b.dmin);
  for (int e = 0; e < kSuper; ++e) {
    const float dl = d * static_cast<float>(b.scales[e / 16] & 15);
    const float ml = dmin * static_cast<float>(b.scales[e / 16] >> 4);
    x[e] = dl * static_cast<float>(two_bits(b.qs, e)) - ml;
  }
}

void dequantize(const BlockQ3_K& b, float* x) {
  int8_t sc[16];
  unpack_q3_k_scales(b.scales, sc);
  const float d = to_f32(b.d);
  for (int e = 0; e < kSuper; ++e) {
    const int q = two_bits(b.qs, e) | (b.hmask[e % 32] >> (e / 32) & 1) << 2;
    x[e] = d * static_cast<float>(sc[e / 16]) * static_cast<float>(q - 4);
  }
}

void dequantize(const BlockQ4_K& b, float* x) {
  uint8_t sc[8], mn[8];
  unpack_k4_scales(b.scales, sc, mn);
  const float d = to_f32(b.d), dmin = to_f32(b.dmin);
  for (int e = 0; e < kSuper; ++e) {
    const int sub = e / 32, q = b.qs[e / 64 * 32 + e % 32] >> (sub % 2 * 4) & 15;
    x[e] = d * static_cast<float>(sc[sub]) * static_cast<float>(q) - dmin * static_cast<float>(mn[sub]);
  }
}

void dequantize(const BlockQ5_K& b, float* x) {
  uint8_t sc[8], mn[8];
  unpack_k4_scales(b.scales, sc, mn);
  const float d = to_f32(b.d), dmin = to_f32(b.dmin);
  for (int e = 0; e < kSuper; ++e) {
    const int sub = e / 32, low = b.qs[e / 64 * 32 + e % 32] >> (sub % 2 * 4) & 15;
    const int q = low | (b.qh[e % 32] >> sub & 1) << 4;
    x[e] = d * static_cast<float>(sc[sub]) * static_cast<float>(q) - dmin * static_cast<float>(mn[sub]);
  }
}

void dequantize(const BlockQ6_K& b, float* x) {
  const float d = to_f32(b.d);
  for (int e = 0; e < kSuper; ++e) {
    const int half = e / 128, group = e % 128 / 32, l = e % 32;
    const int low = b.ql[64 * half + group % 2 * 32 + l] >> (group / 2 * 4) & 15;
    const int high = b.qh[32 * half + l] >> (2 * group) & 3;
    x[e] = d * static_cast<float>(b.scales[e / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

float to_float(f16 v) {
  return to_f32(v);
}
float to_float(bf16 v) {
  return to_f32(v);
}
float to_float(e4m3 v) {
  return to_f32(v);
}
template <class T>
float to_float(T v) {
  return static_cast<float>(v);
}

// memcpy per element or block: `src` may be unaligned.
template <class T>
void convert_plain(const void* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T v;
    std::memcpy(&v, static_cast<const char*>(src) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    dst[i] = to_float(v);
  }
}

template <int kSize>
void dequantize(const BlockW4<kSize>& b, float* x) {
  const float d = to_f32(b.d), m = d * to_f32(b.z);
  for (int i = 0; i < kSize; ++i)
    x[i] = d * static_cast<float>(b.qs[i / 32 * 16 + i % 16] >> (i % 32 / 16 * 4) & 15) - m;
}

void dequantize(const BlockW3& b, float* x) {
  const float d = to_f32(b.d), m = d * to_f32(b.z);
  for (int i = 0; i < 32; ++i)
    x[i] = d * static_cast<float>((b.qs[i / 4] >> (i % 4 * 2) & 3) | (b.qh[i / 8] >> (i % 8) & 1) << 2) - m;
}

void dequantize(const BlockW2& b, float* x) {
  const float d = to_f32(b.d), m = d * to_f32(b.z);
  for (int i = 0; i < 32; ++i) x[i] = d * static_cast<float>(b.qs[i / 4] >> (i % 4 * 2) & 3) - m;
}

void dequantize(const BlockW8& b, float* x) {
  for (int i = 0; i < 64; ++i) x[i] = b.d * static_cast<float>(b.qs[i]);
}

void dequantize(const BlockF8& b, float* x) {
  for (int i = 0; i < 64; ++i) x[i] = b.d * to_f32(b.qs[i]);
}

template <class Block, int kSize>
void convert_blocks(const void* src, float* dst, int64_t n) {
  for (int64_t i = 0; i < n / kSize; ++i) {
    Block b;
    std::memcpy(&b, static_cast<const char*>(src) + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
    dequantize(b, dst + i * kSize);
  }
}

// ---- f32 -> blocks ----

// The element of largest magnitude, with its sign.
float extreme(const float* x, int n) {
  float best = 0;
  for (int i = 0; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(best)) best = x[i];
  return best;
}

// round(x / d) + offset into [0, top], halves up; a NaN gives 0.
int level(float scaled, float offset, int top) {
  const float v = std::floor(scaled + offset + 0.5f);
  return v > 0 ? v < static_cast<float>(top) ? static_cast<int>(v) : top : 0;
}

void set_q5(const int q[32], uint8_t qh[4], uint8_t qs[16]) {
  uint32_t high = 0;
  for (int i = 0; i < 16; ++i) {
    qs[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
    high |= static_cast<uint32_t>(q[i] >> 4) << i | static_cast<uint32_t>(q[i + 16] >> 4) << (i + 16);
  }
  std::memcpy(qh, &high, 4);
}

// Levels 0…2*half-1 around `half`; the extreme becomes level 0, which is the far end of the range. Returns d.
float symmetric_levels(const float* x, int half, int q[32]) {
  const float d = extreme(x, 32) / static_cast<float>(-half);
  const float inverse = d != 0 ? 1 / d : 0;
  for (int i = 0; i < 32; ++i) q[i] = level(x[i] * inverse, static_cast<float>(half), 2 * half - 1);
  return d;
}

// Levels 0…top from the minimum up. Returns d and the minimum.
void affine_levels(const float* x, int top, int q[32], float* d, float* min) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  *min = *low;
  *d = (*high - *low) / static_cast<float>(top);
  const float inverse = *d != 0 ? 1 / *d : 0;
  for (int i = 0; i < 32; ++i) q[i] = level((x[i] - *min) * inverse, 0, top);
}

void quantize(const float* x, BlockQ4_0& b) {
  int q[32];
  b.d = to_f16(symmetric_levels(x, 8, q));
  for (int i = 0; i < 16; ++i) b.qs[i] = static_cast<uint8_t>(q[i] | q[i + 16] << 4);
}

void quantize(const float* x, BlockQ4_1& b) {
  int q[32];
  float d, min;
  affine_levels(x, 15, q, &d, &min);
  b.d = to_f16(d);
  b.m = to_f16(min);
  for (int i = 0; i < 16; ++i) b.qs[i] = static_cast<uint8_t>(q[i] | q[i + 16] << 4);
}

void quantize(const float* x, BlockQ5_0& b) {
  int q[32];
  b.d = to_f16(symmetric_levels(x, 16, q));
  set_q5(q, b.qh, b.qs);
}

void quantize(const float* x, BlockQ5_1& b) {
  int q[32];
  float d, min;
  affine_levels(x, 31, q, &d, &min);
  b.d = to_f16(d);
  b.m = to_f16(min);
  set_q5(q, b.qh, b.qs);
}

void quantize(const float* x, BlockQ8_0& b) {
  const float d = std::fabs(extreme(x, 32)) / 127;
  const float inverse = d != 0 ? 1 / d : 0;
  b.d = to_f16(d);
  for (int i = 0; i < 32; ++i) b.qs[i] = static_cast<int8_t>(level(x[i] * inverse, 127, 254) - 127);
}

template <class Block>
void write_blocks(const float* src, void* dst, int64_t n) {
  for (int64_t i = 0; i < n / 32; ++i) {
    Block b;
    quantize(src + i * 32, b);
    std::memcpy(static_cast<char*>(dst) + i * static_cast<int64_t>(sizeof(Block)), &b, sizeof(Block));
  }
}

template <class T, class Convert>
void write_plain(const float* src, void* dst, int64_t n, Convert convert) {
  for (int64_t i = 0; i < n; ++i) {
    const T v = convert(src[i]);
    std::memcpy(static_cast<char*>(dst) + i * static_cast<int64_t>(sizeof(T)), &v, sizeof(T));
  }
}

}  // namespace

void unpack_k4_scales(const uint8_t scales[12], uint8_t sc[8], uint8_t mn[8]) {
  for (int j = 0; j < 4; ++j) {
    sc[j] = scales[j] & 63;
    mn[j] = scales[4 + j] & 63;
    sc[4 + j] = static_cast<uint8_t>((scales[8 + j] & 15) | scales[j] >> 6 << 4);
    mn[4 + j] = static_cast<uint8_t>(scales[8 + j] >> 4 | scales[4 + j] >> 6 << 4);
  }
}

void unpack_q3_k_scales(const uint8_t scales[12], int8_t sc[16]) {
  for (int s = 0; s < 16; ++s) {
    const int low = scales[s % 8] >> (s / 8 * 4) & 15, high = scales[8 + s % 4] >> (s / 4 * 2) & 3;
    sc[s] = static_cast<int8_t>((low | high << 4) - 32);
  }
}

void dequantize_row(DType dtype, const void* src, float* dst, int64_t n) {
  switch (dtype) {
    case DType::kF32:
      return convert_plain<float>(src, dst, n);
    case DType::kF16:
      return convert_plain<f16>(src, dst, n);
    case DType::kBF16:
      return convert_plain<bf16>(src, dst, n);
    case DType::kI32:
      return convert_plain<int32_t>(src, dst, n);
    case DType::kI64:
      return convert_plain<int64_t>(src, dst, n);
    case DType::kI8:
      return convert_plain<int8_t>(src, dst, n);
    case DType::kU8:
      return convert_plain<uint8_t>(src, dst, n);
    case DType::kF8E4M3:
      return convert_plain<e4m3>(src, dst, n);
    case DType::kQ4_0:
      return convert_blocks<BlockQ4_0, 32>(src, dst, n);
    case DType::kQ4_1:
      return convert_blocks<BlockQ4_1, 32>(src, dst, n);
    case DType::kQ5_0:
      return convert_blocks<BlockQ5_0, 32>(src, dst, n);
    case DType::kQ5_1:
      return convert_blocks<BlockQ5_1, 32>(src, dst, n);
    case DType::kQ8_0:
      return convert_blocks<BlockQ8_0, 32>(src, dst, n);
    case DType::kQ2_K:
      return convert_blocks<BlockQ2_K, 256>(src, dst, n);
    case DType::kQ3_K:
      return convert_blocks<BlockQ3_K, 256>(src, dst, n);
    case DType::kQ4_K:
      return convert_blocks<BlockQ4_K, 256>(src, dst, n);
    case DType::kQ5_K:
      return convert_blocks<BlockQ5_K, 256>(src, dst, n);
    case DType::kQ6_K:
      return convert_blocks<BlockQ6_K, 256>(src, dst, n);
    case DType::kW4G32:
      return convert_blocks<BlockW4<32>, 32>(src, dst, n);
    case DType::kW4G64:
      return convert_blocks<BlockW4<64>, 64>(src, dst, n);
    case DType::kW4G128:
      return convert_blocks<BlockW4<128>, 128>(src, dst, n);
    case DType::kW3G32:
      return convert_blocks<BlockW3, 32>(src, dst, n);
    case DType::kW2G32:
      return convert_blocks<BlockW2, 32>(src, dst, n);
    case DType::kW8G64:
      return convert_blocks<BlockW8, 64>(src, dst, n);
    case DType::kF8G64:
      return convert_blocks<BlockF8, 64>(src, dst, n);
  }
}

bool can_quantize(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
      return true;
    default:
      return false;
  }
}

void quantize_row(DType dtype, const float* src, void* dst, int64_t n) {
  switch (dtype) {
    case DType::kF32:
      return write_plain<float>(src, dst, n, [](float x) { return x; });
    case DType::kF16:
      return write_plain<f16>(src, dst, n, [](float x) { return to_f16(x); });
    case DType::kBF16:
      return write_plain<bf16>(src, dst, n, [](float x) { return to_bf16(x); });
    case DType::kQ4_0:
      return write_blocks<BlockQ4_0>(src, dst, n);
    case DType::kQ4_1:
      return write_blocks<BlockQ4_1>(src, dst, n);
    case DType::kQ5_0:
      return write_blocks<BlockQ5_0>(src, dst, n);
    case DType::kQ5_1:
      return write_blocks<BlockQ5_1>(src, dst, n);
    case DType::kQ8_0:
      return write_blocks<BlockQ8_0>(src, dst, n);
    default:
      __builtin_trap();  // can_quantize() says no
  }
}

}  // namespace turgo
