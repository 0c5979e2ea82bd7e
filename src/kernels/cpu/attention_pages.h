// What differs between the page types of attention: how a query is prepared, how scores come out of K, how
// probabilities are stored for V. attention.h drives them.
//
//   words_per_query   32-bit words that a prepared query takes
//   prepare           scaled query -> words, and its factors where the page is quantised
//   scores            adds R rows of scores [R][64] f32 for the keys [0, keys) of a page
//   weigh             probabilities of two vectors -> what the value tile multiplies with
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
};

// What a row keeps beside its query words (quantised pages).
struct QueryFactors {
  float scale;  // q = scale * integer
  float sum;    // of q's dimensions, for the zeros of K
};

template <class V>
void clear_scores(float* scores, int rows, int64_t keys) {
  for (int r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < keys; i += V::kLanes) V::store(scores + r * kKvBlockTokens + i, V::zero());
  }
}

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
    clear_scores<V>(out, R, keys);
    const Tile t{words, p.head_dim, page, kKvBlockTokens * 4, p.head_dim, out, kKvBlockTokens};
    multiply<V, PanelF32<V>, R>(t, 0, keys);
  }
  template <int R>
  static void accumulate(const PageShape& p, const std::byte* page, float* probabilities, int64_t keys,
                         float* out) {
    const Tile t{probabilities, kKvBlockTokens, page + p.k_bytes, p.columns * 4, keys, out, p.columns};
    multiply<V, PanelF32<V>, R>(t, 0, p.columns);
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
    clear_scores<V>(out, R, keys);
    const Tile t{words, words_per_query(p), page, kKvBlockTokens * 4, p.head_dim / 2, out, kKvBlockTokens};
    multiply<V, PanelBf16<V>, R>(t, 0, keys);
  }
  template <int R>
  static void accumulate(const PageShape& p, const std::byte* page, float* probabilities, int64_t keys,
                         float* out) {
    const int64_t pairs = keys / 2;
    Tile t{probabilities, kKvBlockTokens, page + p.k_bytes, p.columns * 4, pairs, out, p.columns};
    multiply<V, PanelBf16<V>, R>(t, 0, p.columns);
    if (keys % 2 != 0) {
      t.a += pairs * PanelBf16<V>::kWords;
      t.b += pairs * t.b_stride;
      t.steps = 1;
      multiply<V, PanelBf16<V, true>, R>(t, 0, p.columns);
    }
  }
};

}  // namespace
}  // namespace turgo
