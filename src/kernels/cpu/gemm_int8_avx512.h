// AVX-512 VNNI: integer weights x int8 activations, 32 rows x T tokens per call. 2 T int32 and 2 T f32
// accumulators live in registers; quants are unpacked once per group and used by all tokens, activations come
// as broadcasts from the record. The offset of the quants is the accumulators' initial value (-offset * S).
//
// Ceiling: 8 dots + 2 (scale) or 3 (scale and min) operations on the same two ports per 16 rows, token and
// group, hence 80 % or 73 % of the VNNI peak. Where two ports are all that a core has for 512 bits (Intel), a
// conversion and the unpacking compete too: 59 % or 54 % for tiles of 6 tokens. There many tokens share
// panels that are unpacked once, into L1: 73 % or 67 %.
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

// Where the weights of a group come from: as they are packed …
template <DType D>
struct PackedGroup {
  const uint8_t *block, *group;
  template <int kWord>
  [[gnu::always_inline]] __m512i words(int half) const {
    return quants<D, kWord>(group, half);
  }
  [[gnu::always_inline]] Scales scales() const { return load_scales<D>(block, group); }
};

// … or unpacked before: the same numbers as bytes and f32.
template <DType D>
struct alignas(64) UnpackedGroup {
  static constexpr int kHalves = quant_format(D).half_scales ? 2 : 1;
  uint8_t bytes[8][128];  // [word][row][k]
  float scale[kHalves][32], min[kHalves][32];

  [[gnu::always_inline]] void unpack(const PackedGroup<D>& from) {
    unpack_word<0>(from);
    unpack_word<1>(from);
    unpack_word<2>(from);
    unpack_word<3>(from);
    unpack_word<4>(from);
    unpack_word<5>(from);
    unpack_word<6>(from);
    unpack_word<7>(from);
    const Scales s = from.scales();
    for (int i = 0; i < kHalves; ++i) {
      for (int h = 0; h < 2; ++h) {
        _mm512_store_ps(scale[i] + 16 * h, s.scale[i][h]);
        if constexpr (quant_format(D).has_min) _mm512_store_ps(min[i] + 16 * h, s.min[i][h]);
      }
    }
  }
  template <int kWord>
  [[gnu::always_inline]] __m512i words(int half) const {
    return _mm512_load_si512(bytes[kWord] + 64 * half);
  }
  [[gnu::always_inline]] Scales scales() const {
    Scales s;
    for (int i = 0; i < kHalves; ++i) {
      for (int h = 0; h < 2; ++h) {
        s.scale[i][h] = _mm512_load_ps(scale[i] + 16 * h);
        if constexpr (quant_format(D).has_min) s.min[i][h] = _mm512_load_ps(min[i] + 16 * h);
      }
    }
    return s;
  }

 private:
  template <int kWord>
  [[gnu::always_inline]] void unpack_word(const PackedGroup<D>& from) {
    _mm512_store_si512(bytes[kWord], from.template words<kWord>(0));
    _mm512_store_si512(bytes[kWord] + 64, from.template words<kWord>(1));
  }
};

// acc[t][h] += dot of one word with the tokens' quants.
template <int T, int kWord, class Group, class Record>
[[gnu::always_inline]] inline void dot_word(const Group& group, const Record& record, __m512i (&acc)[T][2]) {
  __m512i w0 = group.template words<kWord>(0), w1 = group.template words<kWord>(1);
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

template <DType D, int T, class Group, class Record>
[[gnu::always_inline]] inline void add_whole_group(const Group& group, const Record& record,
                                                   __m512 (&sum)[T][2]) {
  constexpr QuantFormat f = quant_format(D);
  __m512i acc[T][2];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = initial<f.offset>(record.minus_8_sum(t));
  dot_word<T, 0>(group, record, acc);
  dot_word<T, 4>(group, record, acc);
  dot_word<T, 1>(group, record, acc);
  dot_word<T, 5>(group, record, acc);
  dot_word<T, 2>(group, record, acc);
  dot_word<T, 6>(group, record, acc);
  dot_word<T, 3>(group, record, acc);
  dot_word<T, 7>(group, record, acc);
  Scales s = group.scales();
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
template <DType D, int T, class Group, class Record>
[[gnu::always_inline]] inline void add_half_groups(const Group& group, const Record& record,
                                                   __m512 (&sum)[T][2]) {
  constexpr QuantFormat f = quant_format(D);
  Scales s = group.scales();
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    __m512i acc[T][2];
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      int32_t low = record.minus_8_low(t);
      acc[t][0] = acc[t][1] = initial<f.offset>(i == 0 ? low : record.minus_8_sum(t) - low);
    }
    if (i == 0) {
      dot_word<T, 0>(group, record, acc);
      dot_word<T, 1>(group, record, acc);
      dot_word<T, 2>(group, record, acc);
      dot_word<T, 3>(group, record, acc);
    } else {
      dot_word<T, 4>(group, record, acc);
      dot_word<T, 5>(group, record, acc);
      dot_word<T, 6>(group, record, acc);
      dot_word<T, 7>(group, record, acc);
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

template <DType D, int T, class Group, class Record>
[[gnu::always_inline]] inline void add_group(const Group& group, const Record& record, __m512 (&sum)[T][2]) {
  if constexpr (quant_format(D).half_scales) {
    add_half_groups<D, T>(group, record, sum);
  } else {
    add_whole_group<D, T>(group, record, sum);
  }
}

template <DType D, int T, class Record>
[[gnu::always_inline]] inline void sum_tile(const uint8_t* panel, Record record, int64_t groups,
                                            const TileOutput& out) {
  constexpr QuantLayout l = quant_layout(D);
  __m512 sum[T][2];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) sum[t][0] = sum[t][1] = _mm512_setzero_ps();
  for (int64_t b = 0; b < groups; b += l.groups_per_block, panel += l.block_bytes) {
    const uint8_t* group = panel + l.head_bytes;
#pragma GCC unroll 1
    for (int g = 0; g < l.groups_per_block; ++g, group += l.group_bytes, record.next()) {
      prefetch_group<D>(group);
      add_group<D, T>(PackedGroup<D>{panel, group}, record, sum);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) store_tile_row(sum[t][0], sum[t][1], t, out);
}

template <DType D, int T>
void tile_int8(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  sum_tile<D, T>(panel, WordMajorRecord<T>{tile}, groups, out);
}

// Groups that are unpacked at a time (36 KB at most), tokens that share them, and from how many on: 8 tokens
// took 30 % longer, 32 took 6 % less (gate and up of SmolLM2 on a Sapphire Rapids).
constexpr int64_t kUnpackedGroups = 24, kUnpackedTokens = 96, kUnpackFrom = 4 * kInt8Tile;

// Packed groups that are unpacked next, for the memory to bring meanwhile.
struct NextGroups {
  const uint8_t* at;
  int64_t n;
};

// sums[t][row] += the groups' products.
template <DType D, int T>
void add_unpacked(const UnpackedGroup<D>* groups, int64_t num_groups, NextGroups next, const uint8_t* records,
                  float* sums) {
  WordMajorRecord<T> record{records};
  constexpr int kBytes = quant_layout(D).block_bytes / quant_layout(D).groups_per_block;
  __m512 sum[T][2];
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    sum[t][0] = _mm512_load_ps(sums + 32 * t);
    sum[t][1] = _mm512_load_ps(sums + 32 * t + 16);
  }
#pragma GCC unroll 1
  for (int64_t g = 0; g < num_groups; ++g, record.next()) {
    for (int i = 0; g < next.n && i < kBytes; i += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(next.at + g * kBytes + i), _MM_HINT_T0);
    }
    add_group<D, T>(groups[g], record, sum);
  }
  for (int64_t i = num_groups * kBytes; i < next.n * kBytes; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(next.at + i), _MM_HINT_T0);
  }
#pragma GCC unroll 8
  for (int t = 0; t < T; ++t) {
    _mm512_store_ps(sums + 32 * t, sum[t][0]);
    _mm512_store_ps(sums + 32 * t + 16, sum[t][1]);
  }
}

// As run_tiles, panels unpacked once for all tiles of a block of tokens: the same sums in the same order.
template <DType D>
void gemm_unpacked(const GemmArgs& a) {
  using AddTile = void (*)(const UnpackedGroup<D>*, int64_t, NextGroups, const uint8_t*, float*);
  static constexpr AddTile kAddTile[kInt8Tile] = {add_unpacked<D, 1>, add_unpacked<D, 2>, add_unpacked<D, 3>,
                                                  add_unpacked<D, 4>, add_unpacked<D, 5>, add_unpacked<D, 6>};
  constexpr QuantLayout l = quant_layout(D);
  static_assert(kUnpackedGroups % l.groups_per_block == 0 && kUnpackedTokens % kInt8Tile == 0);
  alignas(64) UnpackedGroup<D> unpacked[kUnpackedGroups];
  alignas(64) float sums[kUnpackedTokens][32];
  const int64_t groups = (a.weight.k + kGroupK - 1) / kGroupK, blocks = groups / l.groups_per_block;
  const int64_t panel_bytes = packed_panel_bytes(a.weight.dtype, a.weight.k);
  const int64_t bytes = tile_bytes(Precision::kInt8, kInt8Tile, a.weight.k);
  const auto* activations = reinterpret_cast<const uint8_t*>(a.activations);
  // Runs of groups of nearly the same length.
  const int64_t runs = (groups + kUnpackedGroups - 1) / kUnpackedGroups;
  const auto run_begin = [&](int64_t run) { return blocks * run / runs * l.groups_per_block; };
  // Blocks of tiles, too: a short one would unpack as much for less.
  const int64_t tiles = (a.m + kInt8Tile - 1) / kInt8Tile;
  const int64_t token_blocks = (a.m + kUnpackedTokens - 1) / kUnpackedTokens;
  const auto token_begin = [&](int64_t i) {
    return i < token_blocks ? tiles * i / token_blocks * kInt8Tile : a.m;
  };
  for (int64_t i = 0; i < token_blocks; ++i) {
    const int64_t begin = token_begin(i), end = token_begin(i + 1);
    for (int64_t p = a.panel_begin; p < a.panel_end; ++p) {
      const auto* block = reinterpret_cast<const uint8_t*>(a.weight.data) + p * panel_bytes;
      __builtin_memset(sums, 0, static_cast<size_t>(end - begin) * sizeof sums[0]);
      for (int64_t run = 0; run < runs; ++run) {
        const int64_t first = run_begin(run), n = run_begin(run + 1) - first;
        for (int64_t g = 0; g < n; block += l.block_bytes) {
          for (int in_block = 0; in_block < l.groups_per_block; ++in_block, ++g) {
            unpacked[g].unpack(PackedGroup<D>{block, block + l.head_bytes + in_block * l.group_bytes});
          }
        }
        NextGroups next{block, run + 1 < runs ? run_begin(run + 2) - first - n : run_begin(1)};
        for (int64_t t = begin; t < end; t += kInt8Tile, next.n = 0) {
          const int64_t tokens = end - t < kInt8Tile ? end - t : kInt8Tile;
          const uint8_t* records = activations + t / kInt8Tile * bytes + first * kInt8GroupBytes * tokens;
          kAddTile[tokens - 1](unpacked, n, next, records, sums[t - begin]);
        }
      }
      const int64_t row = p * kPanelRows, left = a.weight.n - row;
      const TileOutput out{a.y + begin * a.y_stride + row, a.y_stride, a.bias ? a.bias + row : nullptr,
                           static_cast<int>(left < kPanelRows ? left : kPanelRows), a.accumulate};
      for (int64_t t = 0; t < end - begin; ++t) {
        store_tile_row(_mm512_load_ps(sums[t]), _mm512_load_ps(sums[t] + 16), static_cast<int>(t), out);
      }
    }
  }
}

// kSharePanels: many tokens share panels that are unpacked once.
template <DType D, bool kSharePanels>
void gemm_int8(const GemmArgs& a) {
  constexpr bool kUnpacks = quant_format(D).low_bits < 8;  // bytes are operands as they are
  if constexpr (kSharePanels && kUnpacks) {
    if (a.m >= kUnpackFrom) return gemm_unpacked<D>(a);
  }
  static constexpr TileKernel kKernels[kInt8Tile] = {tile_int8<D, 1>, tile_int8<D, 2>, tile_int8<D, 3>,
                                                     tile_int8<D, 4>, tile_int8<D, 5>, tile_int8<D, 6>};
  run_tile_kernels(a, kInt8Tile, kKernels);
}

}  // namespace
}  // namespace turgo::avx512
