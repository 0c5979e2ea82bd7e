// Writes one token's K and V into a page (layouts: kernels/common/kv_block.h). Quantised types: the zero is
// the minimum rounded down to bf16, the scale the rest of the range rounded up, so that every value lies
// within half a step whatever bf16 rounds.
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

  struct Range {
    float low, high;
  };
  static Range range(const float* x, int64_t n) {  // NaN does not count
    auto low = V::set1(x[0]), high = low;
    for (int64_t i = 0; i < n; i += V::kLanes) {
      const int64_t rest = n - i;
      auto v = rest >= V::kLanes ? V::load(x + i) : V::load_partial(x + i, rest);
      if (rest < V::kLanes) v = V::select(V::mask_from_bits((uint64_t{1} << rest) - 1), v, V::set1(x[0]));
      low = V::min(v, low);
      high = V::max(v, high);
    }
    return {-V::reduce_max(V::sub(V::zero(), low)), V::reduce_max(high)};
  }

  // Quantises x[0, n) to `levels` + 1 steps; u holds n bytes. Writes the params of (group, slot).
  static void quantize(const float* x, int64_t n, int levels, uint8_t* u, std::byte* params, int64_t groups,
                       int64_t group, int64_t slot) {
    const Range r = range(x, n);
    const uint16_t zero = bf16_toward(r.low, false);
    const float origin = widen(zero);
    float step = (r.high - origin) / static_cast<float>(levels);
    if (!(step > 1e-30f)) step = 1e-30f;  // equal values, and keeps 1 / step finite
    const uint16_t scale = bf16_toward(step, true);
    const auto inverse = V::set1(1.0f / widen(scale)), shift = V::set1(origin);
    const auto top = V::set1(static_cast<float>(levels));
    for (int64_t i = 0; i < n; i += V::kLanes) {
      const int64_t rest = n - i < V::kLanes ? n - i : V::kLanes;
      auto q = rest == V::kLanes ? V::load(x + i) : V::load_partial(x + i, rest);
      q = V::mul(V::sub(q, shift), inverse);
      q = V::min(V::max(q, V::zero()), top);  // NaN becomes zero
      // Adding 1.5 * 2^23 rounds to nearest even in the low bits.
      int32_t bits[V::kLanes];
      V::store_int(bits, V::cast_i(V::add(q, V::set1(12582912.f))));
      for (int64_t j = 0; j < rest; ++j) u[i + j] = static_cast<uint8_t>(bits[j]);
    }
    put(params, group * kKvBlockTokens + slot, scale);
    put(params, (groups + group) * kKvBlockTokens + slot, zero);
  }

  static constexpr int64_t kMaxHeadDim = 1024;

  static uint32_t word(const uint8_t* u) {
    uint32_t w;
    __builtin_memcpy(&w, u, sizeof w);
    return w;
  }
  // Of the next three, u is zero past head_dim up to a multiple of 4, 8 or 32.
  static void store_k_bytes(const uint8_t* u, int64_t n, int64_t slot, std::byte* page) {
    for (int64_t d = 0; d < n; d += 4) put(page, d / 4 * kKvBlockTokens + slot, word(u + d));
  }
  static void store_k_nibbles(const uint8_t* u, int64_t n, int64_t slot, std::byte* page) {
    for (int64_t d = 0; d < n; d += 8) {
      put(page, d / 8 * kKvBlockTokens + slot, word(u + d) | word(u + d + 4) << 4);
    }
  }
  // `bytes`: the token's byte of its four tokens' first word.
  static void store_v_bytes(const uint8_t* u, int64_t columns, std::byte* bytes) {
    for (int64_t d = 0; d < columns; ++d) bytes[4 * d] = std::byte{u[d]};
  }
  static void store_v_nibbles(const uint8_t* u, int64_t columns, std::byte* bytes) {
    for (int64_t d = 0; d < columns; d += 32) {
      for (int64_t w = 0; w < 16; ++w) {
        bytes[4 * (d / 2 + w)] = static_cast<std::byte>(u[d + w] | u[d + 16 + w] << 4);
      }
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
    uint16_t narrow[kMaxHeadDim];
    for (int64_t d = 0; d < g.head_dim; ++d) narrow[d] = bf16_nearest(k[d]);
    for (int64_t d = 0; d < g.head_dim; d += 2) {
      uint32_t pair;
      __builtin_memcpy(&pair, narrow + d, sizeof pair);
      put(page, d / 2 * kKvBlockTokens + slot, pair);
    }
    for (int64_t d = 0; d < columns; ++d) narrow[d] = d < g.head_dim ? bf16_nearest(v[d]) : uint16_t{0};
    std::byte* row = page + g.k_bytes() + slot / 2 * columns * 4 + slot % 2 * 2;
    for (int64_t d = 0; d < columns; ++d) put(row, 2 * d, narrow[d]);
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
    std::byte* bytes = page + g.k_bytes() + slot / 4 * (nibble_v ? columns / 2 : columns) * 4 + slot % 4;
    if (g.type == KvType::kK8V4) {
      for (int64_t d = 0; d < n; d += kKvValueGroup) {
        const int64_t count = n - d < kKvValueGroup ? n - d : kKvValueGroup;
        quantize(v + d, count, 15, u + d, params, g.v_groups(), d / kKvValueGroup, slot);
      }
    } else {
      quantize(v, n, nibble_v ? 15 : 255, u, params, 1, 0, slot);
    }
    nibble_v ? store_v_nibbles(u, columns, bytes) : store_v_bytes(u, columns, bytes);
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
