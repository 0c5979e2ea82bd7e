// AMX: integer weights x int8 or bf16 activations in tiles of 16 tokens. A group of 32 k (with sub-scales
// each half of it) is one tile product: 16 tokens as the records hold them, times 16 rows unpacked to s8 or
// bf16 with their offset subtracted. Scales follow outside the tiles, group by group in k order.
//
// int8: a product is exact, and the scaling repeats the operations of gemm_int8_avx512.h: the bits are those
// of the table avx512, so that few tokens (a decode step) go the vector way and many the tile way. bf16:
// tdpbf16ps sums in an order of its own; one token follows it without tiles.
//
// Ceiling: 3 (scale) or 4 (and min) vector operations per 16 rows, token and group where VNNI has 11 or 12.
// A close variant, single runs on one core of a shared Xeon with AMX, against the table avx512 (Q4_1, 576 x
// 3072): int8 1.0x at 16 tokens, 1.26x at 64, 1.1 to 1.2x at 512; bf16 2x at 8, 4x at 512.
// Sharing one load of tokens between 32 rows, with four sum tiles, was no faster.
#pragma once

#include "kernels/cpu/gemm_float_avx512.h"
#include "kernels/cpu/gemm_int8_avx512.h"
#include "kernels/cpu/pack_amx.h"

namespace turgo::amx {
namespace {

constexpr int kMinTokens = 16;    // of a tile; fewer are faster the vector way
constexpr int kBlockTokens = 64;  // share one unpacking of a panel
constexpr int kSlots = 32;        // products per chunk of k
// Products are started this far ahead of their use, so that the tile unit works while the vector units add.
constexpr int kAhead = 4;
constexpr int kProducts = 8;
static_assert(kAhead < kProducts);

// Tokens from `first` on of an int8 tile, for the vector kernels.
struct TokenMajorRecord {
  const uint8_t* at;
  int64_t tokens, first;
  [[gnu::always_inline]] int32_t quad(int word, int t) const {
    int32_t a;
    __builtin_memcpy(&a, at + (first + t) * kGroupK + word * 4, 4);
    return a;
  }
  [[gnu::always_inline]] float scale(int t) const { return floats()[t]; }
  [[gnu::always_inline]] float scaled_sum(int t) const { return floats()[tokens + t]; }
  [[gnu::always_inline]] int32_t minus_8_sum(int t) const { return ints()[t]; }
  [[gnu::always_inline]] int32_t minus_8_low(int t) const { return ints()[tokens + t]; }
  [[gnu::always_inline]] void next() { at += kInt8GroupBytes * tokens; }

 private:
  [[gnu::always_inline]] const float* floats() const {
    return reinterpret_cast<const float*>(at + 32 * tokens) + first;
  }
  [[gnu::always_inline]] const int32_t* ints() const {
    return reinterpret_cast<const int32_t*>(at + 40 * tokens) + first;
  }
};

// How a pair of types is cut into products.
template <DType D, Precision P>
struct Cut {
  static constexpr int kParts = quant_format(D).half_scales ? 2 : 1;  // products per group
  static constexpr int kTokenBytes = quant_bytes(P);
  static constexpr int kPartBytes = kTokenBytes / kParts;                // of a token in one product
  static constexpr int kOperandBytes = 16 * kTokenBytes;                 // of 16 rows of a group
  static constexpr int kGroups = kSlots * 512 / kOperandBytes / kParts;  // per chunk
};

// One chunk of k of 16 rows: 20 to 24 KB of L1. Slot s is part s % kParts of group s / kParts.
struct alignas(64) Unpacked {
  uint8_t operands[kSlots * 512];
  float scale[kSlots][16], min[kSlots][16];
};

// Word w of a group is 64 bytes of s8, or two pairs of k in bf16.
template <DType D, Precision P, int kWord>
[[gnu::always_inline]] inline void unpack_word(const uint8_t* group, int half,
                                               const avx512::Bf16Lookup<D>& lookup, uint8_t* operand) {
  if constexpr (P == Precision::kInt8) {
    __m512i x = avx512::quants<D, kWord>(group, half);
    constexpr int kOffset = quant_format(D).offset;
    _mm512_store_si512(operand + kWord * 64,
                       _mm512_sub_epi8(x, _mm512_set1_epi8(static_cast<char>(kOffset))));
  } else {
    __m512i x = lookup.template word<kWord>(group, half);
    _mm512_store_si512(operand + kWord * 128, lookup.even(x));
    _mm512_store_si512(operand + kWord * 128 + 64, lookup.odd(x));
  }
}

// Groups [first, first + count) of rows 16 kHalf … of a panel.
template <DType D, Precision P, int kHalf>
[[gnu::always_inline]] inline void unpack(const uint8_t* panel, int64_t first, int64_t count, Unpacked& to) {
  constexpr QuantFormat f = quant_format(D);
  constexpr QuantLayout l = quant_layout(D);
  constexpr int kParts = Cut<D, P>::kParts;
  const avx512::Bf16Lookup<D> lookup;
  for (int64_t i = 0; i < count; ++i) {
    const uint8_t* block = panel + (first + i) / l.groups_per_block * l.block_bytes;
    const uint8_t* group = block + l.head_bytes + (first + i) % l.groups_per_block * l.group_bytes;
    uint8_t* operand = to.operands + i * Cut<D, P>::kOperandBytes;
    if constexpr (kHalf == 0) avx512::prefetch_group<D>(group);
    unpack_word<D, P, 0>(group, kHalf, lookup, operand);
    unpack_word<D, P, 1>(group, kHalf, lookup, operand);
    unpack_word<D, P, 2>(group, kHalf, lookup, operand);
    unpack_word<D, P, 3>(group, kHalf, lookup, operand);
    unpack_word<D, P, 4>(group, kHalf, lookup, operand);
    unpack_word<D, P, 5>(group, kHalf, lookup, operand);
    unpack_word<D, P, 6>(group, kHalf, lookup, operand);
    unpack_word<D, P, 7>(group, kHalf, lookup, operand);
    avx512::Scales s = avx512::load_scales<D>(block, group);
#pragma GCC unroll 2
    for (int part = 0; part < kParts; ++part) {
      _mm512_store_ps(to.scale[i * kParts + part], s.scale[part][kHalf]);
      if constexpr (f.has_min) _mm512_store_ps(to.min[i * kParts + part], s.min[part][kHalf]);
    }
  }
}

// What multiplies a slot's scale and is multiplied with its min, per token: in the record, or computed into
// `own`.
struct TokenFactors {
  const float *scale, *min;
  alignas(64) float own[kTokens];
};

template <DType D, Precision P>
[[gnu::always_inline]] inline void token_factors(const uint8_t* record, int64_t tokens, int part,
                                                 TokenFactors& to) {
  constexpr QuantFormat f = quant_format(D);
  auto valid = static_cast<__mmask16>((1u << tokens) - 1);
  const uint8_t* words = record + quant_bytes(P) * tokens;
  const auto* floats = reinterpret_cast<const float*>(words);
  if constexpr (P == Precision::kInt8) {
    to.scale = floats;
    to.min = floats + tokens;
    if constexpr (f.has_min && f.half_scales) {
      __m512i low = _mm512_maskz_loadu_epi32(valid, words + 12 * tokens);
      if (part == 1) low = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(valid, words + 8 * tokens), low);
      __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(low), _mm512_set1_ps(-0.125f));
      _mm512_store_ps(to.own, _mm512_mul_ps(sum, _mm512_maskz_loadu_ps(valid, floats)));
      to.min = to.own;
    }
  } else if constexpr (f.half_scales) {
    to.min = floats + part * tokens;
  } else if constexpr (f.has_min) {
    __m512 sum = _mm512_maskz_loadu_ps(valid, floats);
    _mm512_store_ps(to.own, _mm512_add_ps(sum, _mm512_maskz_loadu_ps(valid, floats + tokens)));
    to.min = to.own;
  }
}

// sums[t] (16 rows each, kPanelRows floats apart) += the chunk's slots, for one tile of at most T tokens.
// Tokens that a short tile lacks are products of whatever lies there, and nobody reads their sums.
template <DType D, Precision P, int T, class Tiles>
void add_slots(Tiles& tiles, const Unpacked& weights, const uint8_t* record, int64_t tokens, int slots,
               float* sums) {
  using C = Cut<D, P>;
  constexpr QuantFormat f = quant_format(D);
  int64_t record_bytes = group_bytes(P) * tokens;
  alignas(64) float products[kProducts][kTokens][16];
  __m512 sum[T];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) sum[t] = _mm512_load_ps(sums + t * kPanelRows);
  auto start = [&](int slot) __attribute__((always_inline)) {
    const uint8_t* a = record + slot / C::kParts * record_bytes + slot % C::kParts * C::kPartBytes;
    const uint8_t* b = weights.operands + slot * (C::kOperandBytes / C::kParts);
    tiles.template multiply<P>(a, C::kTokenBytes, b, products[slot % kProducts]);
  };
  for (int slot = 0; slot < kAhead && slot < slots; ++slot) start(slot);
  for (int slot = 0; slot < slots; ++slot) {
    if (slot + kAhead < slots) start(slot + kAhead);
    TokenFactors factor;
    token_factors<D, P>(record + slot / C::kParts * record_bytes, tokens, slot % C::kParts, factor);
    __m512 scale = _mm512_load_ps(weights.scale[slot]);
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) {
      __m512 x = _mm512_load_ps(products[slot % kProducts][t]);
      if constexpr (P == Precision::kInt8) {
        x = _mm512_cvtepi32_ps(_mm512_castps_si512(x));
        sum[t] = _mm512_fmadd_ps(x, _mm512_mul_ps(scale, _mm512_set1_ps(factor.scale[t])), sum[t]);
      } else {
        sum[t] = _mm512_fmadd_ps(x, scale, sum[t]);
      }
      if constexpr (f.has_min)
        sum[t] = _mm512_fnmadd_ps(_mm512_load_ps(weights.min[slot]), _mm512_set1_ps(factor.min[t]), sum[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t) _mm512_store_ps(sums + t * kPanelRows, sum[t]);
}

// One panel times up to kBlockTokens tokens in tiles of 16, the last of which may be short.
template <DType D, Precision P, class Tiles>
void sum_block(Tiles& tiles, const uint8_t* panel, const uint8_t* activations, int64_t bytes,
               int64_t num_tokens, int64_t groups, const TileOutput& out) {
  using C = Cut<D, P>;
  Unpacked weights;
  alignas(64) float sums[kBlockTokens][kPanelRows];
  __builtin_memset(sums, 0,
                   sizeof *sums * static_cast<size_t>((num_tokens + kTokens - 1) / kTokens * kTokens));
  for (int half = 0; half < 2; ++half) {
    for (int64_t g = 0; g < groups; g += C::kGroups) {
      int64_t count = groups - g < C::kGroups ? groups - g : C::kGroups;
      if (half == 0) {
        unpack<D, P, 0>(panel, g, count, weights);
      } else {
        unpack<D, P, 1>(panel, g, count, weights);
      }
      for (int64_t t = 0; t < num_tokens; t += kTokens) {
        int64_t tokens = num_tokens - t < kTokens ? num_tokens - t : kTokens;
        const uint8_t* record = activations + t / kTokens * bytes + g * group_bytes(P) * tokens;
        int slots = static_cast<int>(count) * C::kParts;
        float* to = sums[t] + 16 * half;
        constexpr int kFew = P == Precision::kBF16 ? kTokens / 2 : kTokens;  // int8 tiles are full
        if (tokens <= kFew) {
          add_slots<D, P, kFew>(tiles, weights, record, tokens, slots, to);
        } else {
          add_slots<D, P, kTokens>(tiles, weights, record, tokens, slots, to);
        }
      }
    }
  }
  for (int t = 0; t < num_tokens; ++t)
    avx512::store_tile_row(_mm512_load_ps(sums[t]), _mm512_load_ps(sums[t] + 16), t, out);
}

// Tokens [first, first + T) of an int8 tile, the vector way.
template <DType D, int T>
void sum_few(const uint8_t* panel, const uint8_t* tile, int64_t tokens, int64_t first, int64_t groups,
             const TileOutput& out) {
  avx512::sum_tile<D, T>(panel, TokenMajorRecord{tile, tokens, first}, groups, out);
}

template <DType D>
void sum_tile_of_few(const uint8_t* panel, const uint8_t* tile, int64_t tokens, int64_t groups,
                     TileOutput out) {
  using Few = void (*)(const uint8_t*, const uint8_t*, int64_t, int64_t, int64_t, const TileOutput&);
  static constexpr Few kFew[] = {sum_few<D, 1>, sum_few<D, 2>, sum_few<D, 3>,
                                 sum_few<D, 4>, sum_few<D, 5>, sum_few<D, 6>};
  static_assert(sizeof kFew / sizeof *kFew == avx512::kInt8Tile);
  for (int64_t t = 0; t < tokens; t += avx512::kInt8Tile, out.y += avx512::kInt8Tile * out.stride) {
    int64_t count = tokens - t < avx512::kInt8Tile ? tokens - t : avx512::kInt8Tile;
    kFew[count - 1](panel, tile, tokens, t, groups, out);
  }
}

template <DType D, class Tiles>
void gemm_quants_int8(const GemmArgs& a) {
  int64_t groups = (a.weight.k + kGroupK - 1) / kGroupK;
  auto run = [&](Tiles* tiles) {
    run_blocks<kBlockTokens>(a, [&](const uint8_t* panel, const uint8_t* activations, int64_t bytes,
                                    int64_t tokens, TileOutput out) {
      int64_t few = tokens % kTokens < kMinTokens ? tokens % kTokens : 0, many = tokens - few;
      if (many > 0) sum_block<D, Precision::kInt8>(*tiles, panel, activations, bytes, many, groups, out);
      out.y += many * a.y_stride;
      if (few > 0) sum_tile_of_few<D>(panel, activations + many / kTokens * bytes, few, groups, out);
    });
  };
  if (a.m < kMinTokens) return run(nullptr);
  Tiles tiles(Cut<D, Precision::kInt8>::kPartBytes);
  run(&tiles);
}

// The first and the second activation of every pair of a token's group.
struct Pairs {
  alignas(64) float first[16], second[16];
};

// The two sums that tdpbf16ps keeps of 16 rows: of the first and of the second of every pair of k.
struct PairSums {
  __m512 first = _mm512_setzero_ps(), second = _mm512_setzero_ps();
};

template <DType D, int kWord>
[[gnu::always_inline]] inline void add_word(const uint8_t* group, int half,
                                            const avx512::Bf16Lookup<D>& lookup, const Pairs& x,
                                            PairSums& sums) {
  auto add = [&](int pair, __m512 first, __m512 second) __attribute__((always_inline)) {
    sums.first = _mm512_fmadd_ps(first, _mm512_set1_ps(x.first[pair]), sums.first);
    sums.second = _mm512_fmadd_ps(second, _mm512_set1_ps(x.second[pair]), sums.second);
  };
  if constexpr (quant_format(D).low_bits + quant_format(D).high_bits == 8) {
    const __m512i q = avx512::quants<D, kWord>(group, half), low = _mm512_set1_epi32(255);
    auto number = [&](unsigned shift) __attribute__((always_inline)) {
      return avx512::quants_to_f32<D>(_mm512_and_si512(_mm512_srli_epi32(q, shift), low));
    };
    add(2 * kWord, number(0), number(16));
    add(2 * kWord + 1, number(8), number(24));
  } else {
    const __m512i q = lookup.template word<kWord>(group, half);
    auto add_pair = [&](int pair, __m512i bf16) __attribute__((always_inline)) {
      const __m512i upper = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
      add(pair, _mm512_castsi512_ps(_mm512_slli_epi32(bf16, 16)),
          _mm512_castsi512_ps(_mm512_and_si512(bf16, upper)));
    };
    add_pair(2 * kWord, lookup.even(q));
    add_pair(2 * kWord + 1, lookup.odd(q));
  }
}

// Half a group: words 4 kPart … 4 kPart + 3 of both halves of the panel.
template <DType D, int kPart>
[[gnu::always_inline]] inline void add_half_group(const uint8_t* group, const avx512::Bf16Lookup<D>& lookup,
                                                  const Pairs& x, PairSums (&dot)[2]) {
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    add_word<D, 4 * kPart>(group, h, lookup, x, dot[h]);
    add_word<D, 4 * kPart + 1>(group, h, lookup, x, dot[h]);
    add_word<D, 4 * kPart + 2>(group, h, lookup, x, dot[h]);
    add_word<D, 4 * kPart + 3>(group, h, lookup, x, dot[h]);
  }
}

// One token of bf16 without tiles: products of bf16 are exact in f32, so that plain sums in the order of
// tdpbf16ps have its bits (down to where it takes subnormal numbers for zero).
template <DType D>
void sum_token(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  const avx512::Bf16Lookup<D> lookup;
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  Pairs x;
  avx512::for_groups<D>(
      panel, groups,
      [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
        const uint8_t* record = tile + g * kBF16GroupBytes;
        const __m512i pairs = avx512::load(record),
                      upper = _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u));
        _mm512_store_si512(x.first, _mm512_slli_epi32(pairs, 16));
        _mm512_store_si512(x.second, _mm512_and_si512(pairs, upper));
        const avx512::Scales s = avx512::load_scales<D>(block, group);
        const auto* x_sums = reinterpret_cast<const float*>(record + 64);
        PairSums dot[2];
        auto scale = [&](int part, float x_sum) __attribute__((always_inline)) {
#pragma GCC unroll 2
          for (int h = 0; h < 2; ++h) {
            sum[h] = _mm512_fmadd_ps(_mm512_add_ps(dot[h].first, dot[h].second), s.scale[part][h], sum[h]);
            if constexpr (f.has_min) sum[h] = _mm512_fnmadd_ps(s.min[part][h], _mm512_set1_ps(x_sum), sum[h]);
            dot[h] = {};
          }
        };
        add_half_group<D, 0>(group, lookup, x, dot);
        if constexpr (f.half_scales) scale(0, x_sums[0]);
        add_half_group<D, 1>(group, lookup, x, dot);
        if constexpr (f.half_scales) {
          scale(1, x_sums[1]);
        } else {
          scale(0, x_sums[0] + x_sums[1]);
        }
      });
  avx512::store_tile_row(sum[0], sum[1], 0, out);
}

template <DType D, class Tiles>
void gemm_quants_bf16(const GemmArgs& a) {
  int64_t groups = (a.weight.k + kGroupK - 1) / kGroupK;
  if (a.m == 1) {
    return run_blocks<kBlockTokens>(
        a, [&](const uint8_t* panel, const uint8_t* tile, int64_t, int64_t, const TileOutput& out) {
          sum_token<D>(panel, tile, groups, out);
        });
  }
  Tiles tiles(Cut<D, Precision::kBF16>::kPartBytes);
  run_blocks<kBlockTokens>(a, [&](const uint8_t* panel, const uint8_t* activations, int64_t bytes,
                                  int64_t tokens, const TileOutput& out) {
    sum_block<D, Precision::kBF16>(tiles, panel, activations, bytes, tokens, groups, out);
  });
}

}  // namespace
}  // namespace turgo::amx
