// AVX-512 VNNI: integer weights x int8 activations, 32 rows x T tokens per call. 2 T int32 and 2 T f32
// accumulators live in registers; quants are unpacked once per group and used by all tokens, activations come
// as broadcasts from the record. The offset of the quants is the accumulators' initial value (-offset * S).
//
// Ceiling: 8 dots + 2 (scale) or 3 (scale and min) operations on the same two ports per 16 rows, token and
// group, hence 80 % or 73 % of the VNNI peak.
#pragma once

#include "kernels/cpu/quants_avx512.h"

namespace turgo::avx512 {
namespace {

constexpr int64_t kInt8Tile = 6;

// A kInt8 record of T tokens as packed_activations.h draws it. Whoever lays quants out otherwise (AMX) brings
// a type of its own with these functions.
template <int T>
struct WordMajorRecord {
  const uint8_t* at;
  [[gnu::always_inline]] int32_t quad(int word, int t) const {
    int32_t a;
    __builtin_memcpy(&a, at + (word * T + t) * 4, 4);
    return a;
  }
  [[gnu::always_inline]] float scale(int t) const { return floats()[t]; }
  [[gnu::always_inline]] float scaled_sum(int t) const { return floats()[T + t]; }
  [[gnu::always_inline]] int32_t minus_8_sum(int t) const { return ints()[t]; }
  [[gnu::always_inline]] int32_t minus_8_low(int t) const { return ints()[T + t]; }
  [[gnu::always_inline]] void next() { at += kInt8GroupBytes * T; }

 private:
  [[gnu::always_inline]] const float* floats() const { return reinterpret_cast<const float*>(at + 32 * T); }
  [[gnu::always_inline]] const int32_t* ints() const { return reinterpret_cast<const int32_t*>(at + 40 * T); }
};

// acc[t][h] += dot of one word with the tokens' quants.
template <DType D, int T, int kWord, class Record>
[[gnu::always_inline]] inline void dot_word(const uint8_t* group, const Record& record,
                                            __m512i (&acc)[T][2]) {
  __m512i w0 = quants<D, kWord>(group, 0), w1 = quants<D, kWord>(group, 1);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    __m512i x = _mm512_set1_epi32(record.quad(kWord, t));
    acc[t][0] = _mm512_dpbusd_epi32(acc[t][0], w0, x);
    acc[t][1] = _mm512_dpbusd_epi32(acc[t][1], w1, x);
  }
}

// -offset * S from -8 S: offsets are powers of two.
template <int kOffset>
[[gnu::always_inline]] inline __m512i initial(int32_t minus_8_sum) {
  if constexpr (kOffset == 0) return _mm512_setzero_si512();
  __m512i x = _mm512_set1_epi32(minus_8_sum);
  if constexpr (kOffset == 4) x = _mm512_srai_epi32(x, 1);
  if constexpr (kOffset == 16) x = _mm512_slli_epi32(x, 1);
  if constexpr (kOffset == 32) x = _mm512_slli_epi32(x, 2);
  if constexpr (kOffset == 128) x = _mm512_slli_epi32(x, 4);
  return x;
}

template <DType D, int T, class Record>
[[gnu::always_inline]] inline void add_group(const uint8_t* block, const uint8_t* group, const Record& record,
                                             __m512 (&sum)[T][2]) {
  constexpr QuantFormat f = quant_format(D);
  __m512i acc[T][2];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = initial<f.offset>(record.minus_8_sum(t));
  dot_word<D, T, 0>(group, record, acc);
  dot_word<D, T, 4>(group, record, acc);
  dot_word<D, T, 1>(group, record, acc);
  dot_word<D, T, 5>(group, record, acc);
  dot_word<D, T, 2>(group, record, acc);
  dot_word<D, T, 6>(group, record, acc);
  dot_word<D, T, 3>(group, record, acc);
  dot_word<D, T, 7>(group, record, acc);
  Scales s = load_scales<D>(block, group);
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    __m512 scale = _mm512_set1_ps(record.scale(t));
#pragma GCC unroll 2
    for (int h = 0; h < 2; ++h) {
      sum[t][h] =
          _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[t][h]), _mm512_mul_ps(s.scale[0][h], scale), sum[t][h]);
      if constexpr (f.has_min)
        sum[t][h] = _mm512_fnmadd_ps(s.min[0][h], _mm512_set1_ps(record.scaled_sum(t)), sum[t][h]);
    }
  }
}

// Sub-scales per 16 k: the two halves are two terms, first half first.
template <DType D, int T, class Record>
[[gnu::always_inline]] inline void add_half_groups(const uint8_t* block, const uint8_t* group,
                                                   const Record& record, __m512 (&sum)[T][2]) {
  constexpr QuantFormat f = quant_format(D);
  Scales s = load_scales<D>(block, group);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    __m512i acc[T][2];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      int32_t low = record.minus_8_low(t);
      acc[t][0] = acc[t][1] = initial<f.offset>(i == 0 ? low : record.minus_8_sum(t) - low);
    }
    if (i == 0) {
      dot_word<D, T, 0>(group, record, acc);
      dot_word<D, T, 1>(group, record, acc);
      dot_word<D, T, 2>(group, record, acc);
      dot_word<D, T, 3>(group, record, acc);
    } else {
      dot_word<D, T, 4>(group, record, acc);
      dot_word<D, T, 5>(group, record, acc);
      dot_word<D, T, 6>(group, record, acc);
      dot_word<D, T, 7>(group, record, acc);
    }
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      __m512 scale = _mm512_set1_ps(record.scale(t));
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        sum[t][h] =
            _mm512_fmadd_ps(_mm512_cvtepi32_ps(acc[t][h]), _mm512_mul_ps(s.scale[i][h], scale), sum[t][h]);
      }
      if constexpr (f.has_min) {
        int32_t low = record.minus_8_low(t);
        float minus_sum =
            static_cast<float>(i == 0 ? low : record.minus_8_sum(t) - low) * 0.125f * record.scale(t);
#pragma GCC unroll 2
        for (int h = 0; h < 2; ++h) {
          sum[t][h] = _mm512_fmadd_ps(s.min[i][h], _mm512_set1_ps(minus_sum), sum[t][h]);
        }
      }
    }
  }
}

template <DType D, int T, class Record>
[[gnu::always_inline]] inline void sum_tile(const uint8_t* panel, Record record, int64_t groups,
                                            const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  constexpr QuantLayout l = quant_layout(D);
  __m512 sum[T][2];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
  for (int64_t b = 0; b < groups; b += l.groups_per_block, panel += l.block_bytes) {
    const uint8_t* group = panel + l.head_bytes;
#pragma GCC unroll 1
    for (int g = 0; g < l.groups_per_block; ++g, group += l.group_bytes, record.next()) {
      prefetch_group<D>(group);
      if constexpr (f.half_scales) {
        add_half_groups<D, T>(panel, group, record, sum);
      } else {
        add_group<D, T>(panel, group, record, sum);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) store_tile_row(sum[t][0], sum[t][1], t, out);
}

template <DType D, int T>
void tile_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  sum_tile<D, T>(panel, WordMajorRecord<T>{tile}, groups, out);
}

template <DType D>
void gemm_int8(const GemmArgs& a) {
  static constexpr TileKernel kKernels[kInt8Tile] = {tile_int8<D, 1>, tile_int8<D, 2>, tile_int8<D, 3>,
                                                     tile_int8<D, 4>, tile_int8<D, 5>, tile_int8<D, 6>};
  run_tile_kernels(a, kInt8Tile, kKernels);
}

}  // namespace
}  // namespace turgo::avx512
