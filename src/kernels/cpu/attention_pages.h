// What differs between the page types of attention: how a query is prepared, how scores come out of K, how
// probabilities are stored for V. attention.h drives them.
//
//   words_per_query   32-bit words that a prepared query takes
//   prepare           scaled query -> words, and its factors where the page is quantised
//   scores            R rows of scores [R][64] f32 for the keys [0, keys) of a page
//   accumulate        out [R][columns] += probabilities · V
//
// Rounding: f32 pages compute in f32. bf16 pages keep q and the probabilities as bf16 where the CPU has a
// bf16 dot instruction (the denominator is then the sum of the rounded probabilities), else in f32. Quantised
// pages take q as 15-bit integers per row, exact int32 sums, and f32 from there on.
#pragma once

#include "kernels/common/kv_block.h"
#include "kernels/cpu/attention_tile.h"

namespace turgo {
namespace {

// A page as the kernels see it, constant over one call.
struct PageShape {
  int64_t head_dim, columns;  // columns = v_columns()
  int64_t k_bytes, k_params, v_params, v_groups;
  int64_t ahead;  // from this page to the one to prefetch, or 0
};

// What a row keeps beside its query words (quantised pages).
struct QueryFactors {
  float scale;  // q = scale * integer
  float sum;    // of q's dimensions, for the zeros of K
};

template <class V>
struct PageF32 {
  static constexpr bool kDotSum = false;
  static int64_t words_per_query(const PageShape& p) { return p.head_dim; }
  static void prepare(const PageShape& p, const float* q, float scale, float* words, QueryFactors&) {
    for (int64_t d = 0; d < p.head_dim; ++d) words[d] = q[d] * scale;
  }
  template <int R>
  static void scores(const PageShape& p, const std::byte* page, const float* words, const QueryFactors*,
                     int64_t keys, float* out) {
    const Tile t{words, p.head_dim, page, kKvBlockTokens * 4, p.head_dim, out, kKvBlockTokens, p.ahead};
    multiply<V, PanelF32<V>, false, R>(t, 0, keys);
  }
  template <int R>
  static void accumulate(const PageShape& p, const std::byte* page, float* probabilities, int64_t keys,
                         float* out) {
    const Tile t{probabilities, kKvBlockTokens, page + p.k_bytes, p.columns * 4, keys,
                 out,           p.columns,      p.ahead};
    multiply<V, PanelF32<V>, true, R>(t, 0, p.columns);
  }
};

template <class V>
struct PageBf16 {
  static constexpr bool kDotSum = V::kHasBf16Dot;
  static int64_t words_per_query(const PageShape& p) { return V::kHasBf16Dot ? p.head_dim / 2 : p.head_dim; }
  static void prepare(const PageShape& p, const float* q, float scale, float* words, QueryFactors&) {
    if constexpr (V::kHasBf16Dot) {
      for (int64_t d = 0; d < p.head_dim; d += 2 * V::kLanes) {
        const int64_t n = p.head_dim - d, rest = n - V::kLanes;
        const auto low = n >= V::kLanes ? V::load(q + d) : V::load_partial(q + d, n);
        const auto high = rest >= V::kLanes ? V::load(q + d + V::kLanes)
                          : rest > 0        ? V::load_partial(q + d + V::kLanes, rest)
                                            : V::zero();
        const auto factor = V::set1(scale);
        alignas(64) float pairs[V::kLanes];
        V::store_bf16_pairs(pairs, V::mul(low, factor), V::mul(high, factor));
        for (int64_t i = 0; i < V::kLanes && d + 2 * i < p.head_dim; ++i) words[d / 2 + i] = pairs[i];
      }
    } else {
      for (int64_t d = 0; d < p.head_dim; ++d) words[d] = q[d] * scale;
    }
  }
  template <int R>
  static void scores(const PageShape& p, const std::byte* page, const float* words, const QueryFactors*,
                     int64_t keys, float* out) {
    const Tile t{words, words_per_query(p), page,   kKvBlockTokens * 4, p.head_dim / 2,
                 out,   kKvBlockTokens,     p.ahead};
    multiply<V, PanelBf16<V>, false, R>(t, 0, keys);
  }
  template <int R>
  static void accumulate(const PageShape& p, const std::byte* page, float* probabilities, int64_t keys,
                         float* out) {
    const int64_t pairs = keys / 2;
    Tile t{probabilities, kKvBlockTokens, page + p.k_bytes, p.columns * 4, pairs, out, p.columns, p.ahead};
    multiply<V, PanelBf16<V>, true, R>(t, 0, p.columns);
    if (keys % 2 != 0) {
      t.a += pairs * PanelBf16<V>::kWords;
      t.b += pairs * t.b_stride;
      t.steps = 1;
      multiply<V, PanelBf16<V, true>, true, R>(t, 0, p.columns);
    }
  }
};

// int8, int4 and k8v4. Scores: (q_int . u) is exact; then q scale, K scale, and K's zero times the sum of q.
template <class V, bool kNibbleK, bool kNibbleV>
struct PageQuantized {
  static constexpr bool kDotSum = false;
  // 255 * 16,383 * 512 dimensions still fits an int32.
  static constexpr int32_t kLargest = 16383;

  static int64_t padded_dim(const PageShape& p) {
    constexpr int64_t kGroup = kNibbleK ? 8 : 4;
    return (p.head_dim + kGroup - 1) / kGroup * kGroup;
  }
  static int64_t words_per_query(const PageShape& p) { return padded_dim(p) / 2; }

  static void prepare(const PageShape& p, const float* q, float scale, float* words, QueryFactors& factors) {
    float largest = 0;
    for (int64_t d = 0; d < p.head_dim; ++d) {
      const float a = __builtin_fabsf(q[d] * scale);
      largest = a > largest ? a : largest;
    }
    const float inverse = largest > 1e-30f ? static_cast<float>(kLargest) / largest : 0;
    const int64_t n = padded_dim(p);
    auto* bytes = reinterpret_cast<uint8_t*>(words);
    uint32_t sum = 0;  // unsigned: NaN leaves any integer
    for (int64_t d = 0; d < n; ++d) {
      const float x = d < p.head_dim ? q[d] * scale * inverse : 0;
      const float shifted = x + 12582912.f;  // rounds to nearest even in the low bits
      int32_t integer;
      __builtin_memcpy(&integer, &shifted, sizeof integer);
      integer -= 0x4b400000;
      sum += static_cast<uint32_t>(integer);
      if constexpr (V::kHasByteDot) {
        bytes[d] = static_cast<uint8_t>(integer >> 7);
        bytes[n + d] = static_cast<uint8_t>(integer & 127);
      } else {
        constexpr int64_t kPlace[4] = {0, 2, 1, 3};
        const auto half = static_cast<int16_t>(integer);
        __builtin_memcpy(bytes + 2 * (d / 4 * 4 + kPlace[d % 4]), &half, sizeof half);
      }
    }
    factors.scale = largest / static_cast<float>(kLargest);
    factors.sum = static_cast<float>(static_cast<int32_t>(sum)) * factors.scale;
  }

  template <int R>
  static void scores(const PageShape& p, const std::byte* page, const float* words,
                     const QueryFactors* factors, int64_t keys, float* out) {
    const Tile t{words, words_per_query(p), page,   kKvBlockTokens * 4, padded_dim(p) / (kNibbleK ? 8 : 4),
                 out,   kKvBlockTokens,     p.ahead};
    constexpr int kMost = V::kTileVectors;  // keys come in multiples of two vectors
    int64_t column = 0;
    for (; column + kMost * V::kLanes <= keys; column += kMost * V::kLanes) {
      integer_scores<V, kNibbleK, R, kMost>(t, column);
    }
    for (; column < keys; column += 2 * V::kLanes) integer_scores<V, kNibbleK, R, 2>(t, column);

    const auto* params = reinterpret_cast<const uint16_t*>(page + p.k_params);
    for (int64_t k = 0; k < keys; k += V::kLanes) {
      const auto scale = V::load_bf16(params + k), zero = V::load_bf16(params + kKvBlockTokens + k);
      for (int r = 0; r < R; ++r) {
        float* s = out + r * kKvBlockTokens + k;
        const auto x = V::mul(V::to_float(V::load_int(s)), V::set1(factors[r].scale));
        V::store(s, V::fma(x, scale, V::mul(zero, V::set1(factors[r].sum))));
      }
    }
  }

  // A value is zero + scale * u: the probabilities take the scale, the zeros add up to one number per row.
  template <int R>
  static void accumulate(const PageShape& p, const std::byte* page, float* probabilities, int64_t keys,
                         float* out) {
    const auto* params = reinterpret_cast<const uint16_t*>(page + p.v_params);
    const int64_t group_columns = p.columns / p.v_groups;
    const uint64_t written = ~uint64_t{0} >> (kKvBlockTokens - keys);
    for (int64_t g = 0; g < p.v_groups; ++g) {
      alignas(64) float weights[R * kKvBlockTokens];
      typename V::F zeros[R];
      for (int r = 0; r < R; ++r) zeros[r] = V::zero();
      for (int64_t k = 0; k < keys; k += V::kLanes) {
        const auto mask = V::mask_from_bits(written >> k);
        const auto* scales = params + g * kKvBlockTokens + k;
        const auto scale = V::select(mask, V::load_bf16(scales), V::zero());
        const auto zero = V::select(mask, V::load_bf16(scales + p.v_groups * kKvBlockTokens), V::zero());
        for (int r = 0; r < R; ++r) {
          const auto x = V::load(probabilities + r * kKvBlockTokens + k);
          V::store(weights + r * kKvBlockTokens + k, V::mul(x, scale));
          zeros[r] = V::fma(x, zero, zeros[r]);
        }
      }
      const int64_t begin = g * group_columns, end = begin + group_columns;
      for (int r = 0; r < R; ++r) {
        const auto zero = V::set1(V::reduce_add(zeros[r]));
        float* o = out + r * p.columns;
        for (int64_t d = begin; d < end; d += V::kLanes) V::store(o + d, V::add(V::load(o + d), zero));
      }
      const int64_t stride = kNibbleV ? p.columns / 2 : p.columns;
      const Tile t{weights, kKvBlockTokens, page + p.k_bytes, stride, keys, out, p.columns, p.ahead};
      if constexpr (kNibbleV) {
        multiply<V, PanelNibbles<V>, true, R>(t, begin, end);
      } else {
        multiply<V, PanelU8<V>, true, R>(t, begin, end);
      }
    }
  }
};

}  // namespace
}  // namespace turgo
