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
// pages take q (per row) and the probabilities (per row and page) as 15-bit integers, with exact int32 sums,
// and f32 from there on.
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
// Output: a value is middle + scale * (u - 128 or 8), so the probabilities of a page take V's scales and are
// rounded to integers of the page's largest, whose sums with u are exact too; the middles add up to one
// number per row in f32. (u as it is would make twice the error of rounding.)
template <class V, bool kNibbleK, bool kNibbleV>
struct PageQuantized {
  static constexpr bool kDotSum = false;

  static int64_t num_factors(const PageShape& p) { return (p.head_dim + 15) / 16 * 16; }
  static int64_t words_per_query(const PageShape& p) { return factor_words(num_factors(p)); }

  static void prepare(const PageShape& p, const float* q, float scale, float* words, QueryFactors& factors) {
    const auto factor = V::set1(scale);
    const auto scaled = [&](int64_t d) {
      const int64_t rest = p.head_dim - d;
      if (rest <= 0) return V::zero();
      return V::mul(rest >= V::kLanes ? V::load(q + d) : V::load_partial(q + d, rest), factor);
    };
    auto highest = V::zero();
    for (int64_t d = 0; d < p.head_dim; d += V::kLanes) highest = V::max(highest, V::abs(scaled(d)));
    const float largest = V::reduce_max(highest);
    const int64_t n = num_factors(p);
    const auto inverse = V::set1(largest > 1e-30f ? largest_factor(n) / largest : 0);
    auto sums = V::set1_int(0);  // NaN leaves any integer
    for (int64_t d = 0; d < n; d += V::kLanes) {
      const auto integers = to_factors<V>(V::mul(scaled(d), inverse));
      sums = V::add_int(sums, integers);
      V::store_factors(words, n, d, integers);
    }
    factors.scale = largest / largest_factor(n);
    factors.sum = V::reduce_add(V::to_float(sums)) * factors.scale;
  }

  template <int R>
  static void scores(const PageShape& p, const std::byte* page, const float* words,
                     const QueryFactors* factors, int64_t keys, float* out) {
    constexpr int64_t kStep = kNibbleK ? 8 : 4;
    const Tile t{words, words_per_query(p), page,   kKvBlockTokens * 4, (p.head_dim + kStep - 1) / kStep,
                 out,   kKvBlockTokens,     p.ahead};
    constexpr int kMost = V::kTileVectors;  // keys come in multiples of two vectors
    int64_t column = 0;
    for (; column + kMost * V::kLanes <= keys; column += kMost * V::kLanes) {
      integer_scores<V, kNibbleK, R, kMost>(t, num_factors(p), column);
    }
    for (; column < keys; column += 2 * V::kLanes) {
      integer_scores<V, kNibbleK, R, 2>(t, num_factors(p), column);
    }

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

  template <int R>
  static void accumulate(const PageShape& p, const std::byte* page, float* probabilities, int64_t keys,
                         float* out) {
    const auto* params = reinterpret_cast<const uint16_t*>(page + p.v_params);
    const int64_t group_columns = p.columns / p.v_groups;
    const uint64_t written = ~uint64_t{0} >> (kKvBlockTokens - keys);
    constexpr int64_t kWords = factor_words(kKvBlockTokens);
    for (int64_t g = 0; g < p.v_groups; ++g) {
      alignas(64) float words[R * kWords];
      alignas(64) float steps[kKvBlockTokens];
      alignas(64) float centers[kKvBlockTokens];
      alignas(64) float weights[kKvBlockTokens];
      ValueSums sums[R];
      const int64_t begin = g * group_columns, end = begin + group_columns;
      const uint16_t *scale_of = params + g * kKvBlockTokens,
                     *zero_of = scale_of + p.v_groups * kKvBlockTokens;
      for (int64_t k = 0; k < keys; k += V::kLanes) {
        const auto mask = V::mask_from_bits(written >> k);
        const auto s = V::select(mask, V::load_bf16(scale_of + k), V::zero());
        V::store(steps + k, s);
        V::store(centers + k,
                 V::fma(s, V::set1(kMiddle), V::select(mask, V::load_bf16(zero_of + k), V::zero())));
      }
      for (int r = 0; r < R; ++r) {
        auto middles = V::zero(), highest = V::zero();
        for (int64_t k = 0; k < keys; k += V::kLanes) {
          const auto x = V::load(probabilities + r * kKvBlockTokens + k);
          const auto weight = V::mul(x, V::load(steps + k));
          middles = V::fma(x, V::load(centers + k), middles);
          highest = V::max(highest, weight);
          V::store(weights + k, weight);
        }
        const float largest = V::reduce_max(highest);
        constexpr float kLargest = largest_factor(kKvBlockTokens);
        const auto inverse = V::set1(largest > 1e-30f ? kLargest / largest : 0);
        auto all = V::set1_int(0);
        for (int64_t k = 0; k < keys; k += V::kLanes) {
          const auto x = V::mul(V::load(weights + k), inverse);  // of NaN, zero: the row's sum keeps it
          const auto integers = to_factors<V>(V::min(V::max(x, V::zero()), V::set1(kLargest)));
          all = V::add_int(all, integers);
          V::store_factors(words + r * kWords, kKvBlockTokens, k, integers);
        }
        const float total = V::reduce_add(V::to_float(all));  // below 2^24: exact
        sums[r] = {largest / kLargest, -static_cast<int32_t>(total) * static_cast<int32_t>(kMiddle)};
        const auto middle = V::set1(V::reduce_add(middles));
        float* o = out + r * p.columns;
        for (int64_t d = begin; d < end; d += V::kLanes) V::store(o + d, V::add(V::load(o + d), middle));
      }
      const int64_t stride = (kNibbleV ? p.columns / 2 : p.columns) * 4;
      const Tile t{words, kWords, page + p.k_bytes, stride, (keys + 3) / 4, out, p.columns, p.ahead};
      add_values<R>(t, sums, begin, end);
    }
  }

 private:
  static constexpr float kMiddle = kNibbleV ? 8 : 128;

  template <int R>
  static void add_values(const Tile& t, const ValueSums* sums, int64_t begin, int64_t end) {
    if constexpr (kNibbleV) {
      constexpr int kMost = 16 / V::kLanes < V::kTileVectors / 2 ? 16 / V::kLanes : V::kTileVectors / 2;
      for (int64_t run = begin; run < end; run += 32) {
        for (int64_t c = 0; c < 16; c += kMost * V::kLanes) {
          integer_values<V, true, R, kMost>(t, sums, run + c);
        }
      }
    } else {
      constexpr int kMost = V::kTileVectors;
      int64_t column = begin;
      for (; column + kMost * V::kLanes <= end; column += kMost * V::kLanes) {
        integer_values<V, false, R, kMost>(t, sums, column);
      }
      for (; column < end; column += V::kLanes) integer_values<V, false, R, 1>(t, sums, column);
    }
  }
};

}  // namespace
}  // namespace turgo
