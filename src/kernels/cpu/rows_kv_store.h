// Writes one token's K and V into a page (layouts: kernels/common/kv_block.h). Quantised types: the zero is
// the minimum rounded down to bf16, the scale the rest of the range rounded up, so that every value lies
// within half a step whatever bf16 rounds. Plain loops over one head; V only sets the internal linkage.
#pragma once

#include <cstdint>

#include "kernels/common/kv_block.h"

namespace turgo {
namespace {

template <class V>
struct KvStore {
  static uint32_t bits_of(float x) {
    uint32_t u;
    __builtin_memcpy(&u, &x, 4);
    return u;
  }
  static float float_of(uint32_t u) {
    float x;
    __builtin_memcpy(&x, &u, 4);
    return x;
  }
  // Round to nearest even. Infinity stays; NaN stays NaN (core/dtype.h's rule).
  static uint16_t bf16_nearest(float x) {
    const uint32_t u = bits_of(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((u >> 16) | 0x40);
    return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1)) >> 16);
  }
  static uint16_t bf16_toward(float x, bool up) {
    const uint32_t u = bits_of(x);
    uint32_t high = u >> 16;
    if ((u & 0xffff) != 0 && (u >> 31 == 0) == up) ++high;  // away from zero
    return static_cast<uint16_t>(high);
  }
  static float widen(uint16_t bf16) { return float_of(static_cast<uint32_t>(bf16) << 16); }

  template <class T>
  static void put(std::byte* base, int64_t index, T value) {
    __builtin_memcpy(base + index * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
  }

  // Quantises x[0, n) to `levels` + 1 steps; u must hold n bytes. Writes params of (group, slot).
  static void quantize(const float* x, int64_t n, int levels, uint8_t* u, std::byte* params, int64_t groups,
                       int64_t group, int64_t slot) {
    float low = x[0], high = x[0];
    for (int64_t i = 1; i < n; ++i) {
      low = x[i] < low ? x[i] : low;
      high = x[i] > high ? x[i] : high;
    }
    const uint16_t zero = bf16_toward(low, false);
    const float origin = widen(zero);
    float step = (high - origin) / static_cast<float>(levels);
    if (!(step > 1e-30f)) step = 1e-30f;  // equal values, and keeps 1 / step finite
    const uint16_t scale = bf16_toward(step, true);
    const float inverse = 1.0f / widen(scale);
    const float top = static_cast<float>(levels);
    for (int64_t i = 0; i < n; ++i) {
      float q = (x[i] - origin) * inverse + 0.5f;
      q = q > 0 ? q : 0;  // also NaN
      q = q < top + 0.5f ? q : top;
      u[i] = static_cast<uint8_t>(static_cast<int32_t>(q));
    }
    put(params, group * kKvBlockTokens + slot, scale);
    put(params, (groups + group) * kKvBlockTokens + slot, zero);
  }

  static constexpr int64_t kMaxHeadDim = 1024;

  static void store_k_bytes(const uint8_t* u, int64_t n, int64_t slot, std::byte* page) {
    for (int64_t d = 0; d < n; ++d) put(page, (d / 4 * kKvBlockTokens + slot) * 4 + d % 4, u[d]);
  }
  // u is zero past n up to a multiple of 8 / of 32.
  static void store_k_nibbles(const uint8_t* u, int64_t n, int64_t slot, std::byte* page) {
    for (int64_t d = 0; d < n; d += 8) {
      for (int64_t b = 0; b < 4; ++b) {
        put(page, (d / 8 * kKvBlockTokens + slot) * 4 + b,
            static_cast<uint8_t>(u[d + b] | u[d + 4 + b] << 4));
      }
    }
  }
  static void store_v_nibbles(const uint8_t* u, int64_t columns, std::byte* row) {
    for (int64_t d = 0; d < columns; d += 32) {
      for (int64_t b = 0; b < 16; ++b)
        put(row, d / 2 + b, static_cast<uint8_t>(u[d + b] | u[d + 16 + b] << 4));
    }
  }

  static void store_f32(const KvGeometry& g, const float* k, const float* v, int64_t slot, std::byte* page) {
    const int64_t columns = g.v_columns();
    for (int64_t d = 0; d < g.head_dim; ++d) put(page, d * kKvBlockTokens + slot, k[d]);
    std::byte* row = page + g.k_bytes() + slot * columns * 4;
    for (int64_t d = 0; d < columns; ++d) put(row, d, d < g.head_dim ? v[d] : 0.0f);
  }

  static void store_bf16(const KvGeometry& g, const float* k, const float* v, int64_t slot, std::byte* page) {
    const int64_t columns = g.v_columns();
    for (int64_t d = 0; d < g.head_dim; d += 2) {
      const uint32_t pair = bf16_nearest(k[d]) | static_cast<uint32_t>(bf16_nearest(k[d + 1])) << 16;
      put(page, d / 2 * kKvBlockTokens + slot, pair);
    }
    std::byte* row = page + g.k_bytes() + slot / 2 * columns * 4 + slot % 2 * 2;
    for (int64_t d = 0; d < columns; ++d) put(row, 2 * d, d < g.head_dim ? bf16_nearest(v[d]) : uint16_t{0});
  }

  static void store_quantized(const KvGeometry& g, const float* k, const float* v, int64_t slot,
                              std::byte* page) {
    uint8_t u[kMaxHeadDim + 32];
    const int64_t n = g.head_dim, columns = g.v_columns();
    for (int64_t d = n; d < columns + 8; ++d) u[d] = 0;
    const bool nibble_k = g.type == KvType::kI4, nibble_v = g.type != KvType::kI8;
    quantize(k, n, nibble_k ? 15 : 255, u, page + g.k_params_offset(), 1, 0, slot);
    nibble_k ? store_k_nibbles(u, n, slot, page) : store_k_bytes(u, n, slot, page);

    std::byte* params = page + g.v_params_offset();
    std::byte* row = page + g.k_bytes() + slot * (nibble_v ? columns / 2 : columns);
    if (g.type == KvType::kK8V4) {
      for (int64_t d = 0; d < n; d += kKvValueGroup) {
        const int64_t count = n - d < kKvValueGroup ? n - d : kKvValueGroup;
        quantize(v + d, count, 15, u + d, params, g.v_groups(), d / kKvValueGroup, slot);
      }
    } else {
      quantize(v, n, nibble_v ? 15 : 255, u, params, 1, 0, slot);
    }
    if (nibble_v) {
      store_v_nibbles(u, columns, row);
    } else {
      __builtin_memcpy(row, u, static_cast<size_t>(columns));
    }
  }
};

// head_dim even, at most 1,024.
template <class V>
void kv_store(const KvGeometry& geometry, const float* k, const float* v, int64_t slot, std::byte* page) {
  switch (geometry.type) {
    case KvType::kF32:
      return KvStore<V>::store_f32(geometry, k, v, slot, page);
    case KvType::kBF16:
      return KvStore<V>::store_bf16(geometry, k, v, slot, page);
    case KvType::kI8:
    case KvType::kI4:
    case KvType::kK8V4:
      return KvStore<V>::store_quantized(geometry, k, v, slot, page);
  }
}

}  // namespace
}  // namespace turgo
