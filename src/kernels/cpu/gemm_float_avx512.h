// AVX-512: bf16 and f32 activations, 32 rows x T tokens, up to 12 tokens a tile.
//   bf16 weights x bf16 activations   vdpbf16ps straight from the panel
//   integer weights x bf16            quants as exact bf16 integers, f32 sum of the groups of one scale, then
//                                     the scale
//   f32, f16 weights x bf16           weights stay f32, activations are widened
//   anything x f32                    weights exactly as dequantize_row gives them, FMA
// Where a group must be unpacked it goes through a buffer in L1, so that the arithmetic is one template over
// T for all types; sums of a tile then live in memory between groups. bf16 alone has two more ways with the
// same operations on every sum: one token (registers), more than one tile (unpacked once for all).
#pragma once

#include "kernels/cpu/quants_avx512.h"

namespace turgo::avx512 {
namespace {

constexpr int kFloatTile = 12;

struct alignas(64) Sums {
  float at[kFloatTile][kPanelRows];
};

[[gnu::always_inline]] inline __m512bh pair_of(__m512i x) {
  return __builtin_bit_cast(__m512bh, x);
}

[[gnu::always_inline]] inline __m512i broadcast32(const uint8_t* p) {
  int32_t v;
  __builtin_memcpy(&v, p, 4);
  return _mm512_set1_epi32(v);
}

template <int T>
[[gnu::always_inline]] inline void load_sums(const Sums& sums, __m512 (&acc)[T][2]) {
#pragma GCC unroll 12
  for (int t = 0; t < T; ++t) {
    acc[t][0] = _mm512_load_ps(sums.at[t]);
    acc[t][1] = _mm512_load_ps(sums.at[t] + 16);
  }
}

template <int T>
[[gnu::always_inline]] inline void save_sums(const __m512 (&acc)[T][2], Sums& sums) {
#pragma GCC unroll 12
  for (int t = 0; t < T; ++t) {
    _mm512_store_ps(sums.at[t], acc[t][0]);
    _mm512_store_ps(sums.at[t] + 16, acc[t][1]);
  }
}

// acc += pairs [first, last) of a [16][32][2] operand times the record's tokens.
template <int T>
[[gnu::always_inline]] inline void dot_pairs(const uint8_t* operand, const uint8_t* record, int first,
                                             int last, __m512 (&acc)[T][2]) {
#pragma GCC unroll 2
  for (int p = first; p < last; ++p) {
    __m512bh w0 = pair_of(load(operand + p * 128)), w1 = pair_of(load(operand + p * 128 + 64));
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t) {
      __m512bh x = pair_of(broadcast32(record + (p * T + t) * 4));
      acc[t][0] = _mm512_dpbf16_ps(acc[t][0], w0, x);
      acc[t][1] = _mm512_dpbf16_ps(acc[t][1], w1, x);
    }
  }
}

// --- bf16 weights x bf16 activations ---
template <int T>
void tile_bf16(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  __m512 acc[T][2];
#pragma GCC unroll 12
  for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = _mm512_setzero_ps();
  for (int64_t g = 0; g < groups; ++g, panel += float_group_bytes_of<DType::kBF16>) {
#pragma GCC unroll 1
    for (int i = 0; i < 2048; i += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(panel + kPrefetchAhead + i), _MM_HINT_T0);
    }
    dot_pairs<T>(panel, tile + g * kBF16GroupBytes * T, 0, 16, acc);
  }
#pragma GCC unroll 12
  for (int t = 0; t < T; ++t) store_tile_row(acc[t][0], acc[t][1], t, out);
}

// --- integer weights x bf16 activations ---

// Vectors of quants() -> bf16 of quant - offset (of the float that e4m3 is), exactly, two k to a lane: even()
// of its bytes 0 and 2, odd() of bytes 1 and 3. The permutes look at the low 5 (6) bits of a 16-bit word
// only, so that neither the byte above nor, of 4 bits, the next nibble needs to be masked: their table
// repeats.
template <DType D>
struct Bf16Lookup {
  static constexpr QuantFormat kFormat = quant_format(D);
  static constexpr int kBits = kFormat.low_bits + kFormat.high_bits;
  static constexpr bool kNibbles = kFormat.low_bits == 4 && kFormat.high_bits == 0;
  __m512i low, high;

  [[gnu::always_inline]] inline Bf16Lookup() {
    alignas(64) uint16_t table[64];
    for (int i = 0; i < 64; ++i) {
      const int quant = kNibbles ? i & 15 : i;
      table[i] = static_cast<uint16_t>(f32_to_bits(static_cast<float>(quant - kFormat.offset)) >> 16);
    }
    if constexpr (kFormat.e4m3) {  // the subnormals
      for (int i = 0; i < 8; ++i)
        table[i] = static_cast<uint16_t>(f32_to_bits(static_cast<float>(i) * 0x1p-9f) >> 16);
    } else if constexpr (kBits == 8) {
      // Words 1, 3, … of two vectors of 32-bit lanes, interleaved.
      for (int i = 0; i < 32; ++i) table[i] = static_cast<uint16_t>(i % 2 * 32 + i / 2 * 2 + 1);
    }
    low = _mm512_load_si512(table);
    high = _mm512_load_si512(table + 32);
  }

  template <int kWord>
  [[gnu::always_inline]] inline __m512i word(const uint8_t* group, int half) const {
    if constexpr (!kNibbles) return quants<D, kWord>(group, half);
    __m512i x = load(group + quant_layout(D).low_offset + half * 64 + kWord % 4 * 128);
    return kWord < 4 ? x : _mm512_srli_epi16(x, 4);
  }
  [[gnu::always_inline]] inline __m512i even(__m512i x) const {
    if constexpr (kFormat.e4m3) return e4m3_to_bf16(_mm512_and_si512(x, _mm512_set1_epi16(0xff)));
    if constexpr (kBits == 8) return pair_of_bytes<0, 16>(x);
    return look_up(x);
  }
  [[gnu::always_inline]] inline __m512i odd(__m512i x) const {
    if constexpr (kFormat.e4m3) return e4m3_to_bf16(_mm512_srli_epi16(x, 8));
    if constexpr (kBits == 8) return pair_of_bytes<8, 24>(x);
    return look_up(_mm512_srli_epi16(x, 8));
  }

 private:
  [[gnu::always_inline]] inline __m512i look_up(__m512i x) const {
    if constexpr (kBits <= 5) return _mm512_permutexvar_epi16(x, low);
    return _mm512_permutex2var_epi16(low, x, high);
  }
  // In the low bytes of 16-bit lanes, the others zero: exponent and mantissa move to their places.
  [[gnu::always_inline]] inline __m512i e4m3_to_bf16(__m512i byte) const {
    const __m512i rest = _mm512_and_si512(byte, _mm512_set1_epi16(0x7f));
    const __m512i sign = _mm512_slli_epi16(_mm512_xor_si512(byte, rest), 8);
    __m512i v = _mm512_slli_epi16(_mm512_add_epi16(rest, _mm512_set1_epi16(120 << 3)), 4);
    const __mmask32 small = _mm512_cmplt_epi16_mask(rest, _mm512_set1_epi16(8));
    v = _mm512_mask_permutexvar_epi16(v, small, rest, low);
    return _mm512_or_si512(v, sign);
  }
  // 2^23 + quant is an f32 with the quant in its low byte; bf16 is the upper half of the difference.
  template <int kShift>
  [[gnu::always_inline]] inline __m512i byte_to_f32(__m512i x) const {
    constexpr float kTwo23 = 8388608.0f;
    const __m512i magic = _mm512_castps_si512(_mm512_set1_ps(kTwo23));
    if constexpr (kShift > 0) x = _mm512_srli_epi32(x, static_cast<unsigned>(kShift));
    constexpr int kAndOr = 0xea;  // (a & b) | c
    x = _mm512_ternarylogic_epi32(x, _mm512_set1_epi32(0xff), magic, kAndOr);
    return _mm512_castps_si512(
        _mm512_sub_ps(_mm512_castsi512_ps(x), _mm512_set1_ps(kTwo23 + static_cast<float>(kFormat.offset))));
  }
  template <int kFirst, int kSecond>
  [[gnu::always_inline]] inline __m512i pair_of_bytes(__m512i x) const {
    return _mm512_permutex2var_epi16(byte_to_f32<kFirst>(x), low, byte_to_f32<kSecond>(x));
  }
};

template <DType D, int kWord>
[[gnu::always_inline]] inline void word_to_bf16(const uint8_t* group, const Bf16Lookup<D>& lookup,
                                                uint8_t* operand) {
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    __m512i x = lookup.template word<kWord>(group, h);
    uint8_t* dst = operand + kWord * 256 + h * 64;
    _mm512_store_si512(dst, lookup.even(x));
    _mm512_store_si512(dst + 128, lookup.odd(x));
  }
}

template <DType D>
[[gnu::always_inline]] inline void group_to_bf16(const uint8_t* group, const Bf16Lookup<D>& lookup,
                                                 uint8_t* operand) {
  word_to_bf16<D, 0>(group, lookup, operand);
  word_to_bf16<D, 1>(group, lookup, operand);
  word_to_bf16<D, 2>(group, lookup, operand);
  word_to_bf16<D, 3>(group, lookup, operand);
  word_to_bf16<D, 4>(group, lookup, operand);
  word_to_bf16<D, 5>(group, lookup, operand);
  word_to_bf16<D, 6>(group, lookup, operand);
  word_to_bf16<D, 7>(group, lookup, operand);
}

// Groups of 32 k whose products are summed before they are scaled.
template <DType D>
constexpr int kScaledGroups = quant_format(D).groups;

// The sum of token t's activations in half `half` of a group, or (kHalves false) in `groups` whole ones.
template <bool kHalves>
[[gnu::always_inline]] inline float activation_sum(const uint8_t* record, int tokens, int t, int groups,
                                                   int half) {
  const auto* at = reinterpret_cast<const float*>(record + 64 * tokens) + t;
  if constexpr (kHalves) return at[half * tokens];
  float sum = at[0] + at[tokens];
  for (int g = 1; g < groups; ++g) {
    at += kBF16GroupBytes / 4 * tokens;
    sum += at[0] + at[tokens];
  }
  return sum;
}

// sums += scale * dot - min * (sum of activations), for groups that share a scale or half by half of one.
template <int T, bool kHalves, bool kMin>
void scaled_dot(const uint8_t* operand, const uint8_t* record, const Scales& s, int groups, Sums& sums) {
#pragma GCC unroll 2
  for (int i = 0; i < (kHalves ? 2 : 1); ++i) {
    __m512 acc[T][2];
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t) acc[t][0] = acc[t][1] = _mm512_setzero_ps();
#pragma GCC unroll 1
    for (int g = 0; g < groups; ++g)
      dot_pairs<T>(operand + g * 2048, record + g * kBF16GroupBytes * T, i * 8, kHalves ? i * 8 + 8 : 16,
                   acc);
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t) {
      float x = kMin ? activation_sum<kHalves>(record, T, t, groups, i) : 0.0f;
#pragma GCC unroll 2
      for (int h = 0; h < 2; ++h) {
        __m512 sum = _mm512_fmadd_ps(acc[t][h], s.scale[i][h], _mm512_load_ps(sums.at[t] + 16 * h));
        if constexpr (kMin) sum = _mm512_fnmadd_ps(s.min[i][h], _mm512_set1_ps(x), sum);
        _mm512_store_ps(sums.at[t] + 16 * h, sum);
      }
    }
  }
}

using ScaledDot = void (*)(const uint8_t*, const uint8_t*, const Scales&, int, Sums&);
template <bool kHalves, bool kMin>
constexpr ScaledDot kScaledDots[kFloatTile] = {
    scaled_dot<1, kHalves, kMin>,  scaled_dot<2, kHalves, kMin>,  scaled_dot<3, kHalves, kMin>,
    scaled_dot<4, kHalves, kMin>,  scaled_dot<5, kHalves, kMin>,  scaled_dot<6, kHalves, kMin>,
    scaled_dot<7, kHalves, kMin>,  scaled_dot<8, kHalves, kMin>,  scaled_dot<9, kHalves, kMin>,
    scaled_dot<10, kHalves, kMin>, scaled_dot<11, kHalves, kMin>, scaled_dot<12, kHalves, kMin>};
template <DType D>
constexpr const ScaledDot* kScaledDot = kScaledDots<quant_format(D).half_scales, quant_format(D).has_min>;

// Calls body(index of the group, block, group) for the groups of a panel.
template <DType D, class Body>
[[gnu::always_inline]] inline void for_groups(const uint8_t* panel, int64_t groups, Body body) {
  constexpr QuantLayout l = quant_layout(D);
  for (int64_t b = 0; b < groups; b += l.groups_per_block, panel += l.block_bytes) {
    for (int g = 0; g < l.groups_per_block; ++g) {
      const uint8_t* group = panel + l.head_bytes + g * l.group_bytes;
      prefetch_group<D>(group);
      body(b + g, panel, group);
    }
  }
}

[[gnu::always_inline]] inline void clear(Sums& sums, int tokens) {
  for (int t = 0; t < tokens; ++t) {
    _mm512_store_ps(sums.at[t], _mm512_setzero_ps());
    _mm512_store_ps(sums.at[t] + 16, _mm512_setzero_ps());
  }
}

[[gnu::always_inline]] inline void store_tile(const Sums& sums, int tokens, const TileOutput& out) {
  for (int t = 0; t < tokens; ++t) {
    store_tile_row(_mm512_load_ps(sums.at[t]), _mm512_load_ps(sums.at[t] + 16), t, out);
  }
}

template <DType D>
void tile_quants_bf16(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups,
                      const TileOutput& out) {
  constexpr int kGroups = kScaledGroups<D>;
  Bf16Lookup<D> lookup;
  ScaledDot dot = kScaledDot<D>[tokens - 1];
  alignas(64) uint8_t operands[kGroups][2048];
  Sums sums;
  clear(sums, tokens);
  for_groups<D>(panel, groups,
                [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
                  const int64_t i = g % kGroups;
                  group_to_bf16<D>(group, lookup, operands[i]);
                  if (i + 1 < kGroups) return;
                  Scales s = load_scales<D>(block, group);
                  dot(operands[0], tile + (g - i) * kBF16GroupBytes * tokens, s, kGroups, sums);
                });
  store_tile(sums, tokens, out);
}

template <DType D, int kWord>
[[gnu::always_inline]] inline void dot_word(const uint8_t* group, const Bf16Lookup<D>& lookup,
                                            const uint8_t* record, __m512 (&acc)[2]) {
  const __m512bh x0 = pair_of(broadcast32(record + kWord * 8)),
                 x1 = pair_of(broadcast32(record + kWord * 8 + 4));
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    __m512i q = lookup.template word<kWord>(group, h);
    acc[h] = _mm512_dpbf16_ps(acc[h], pair_of(lookup.even(q)), x0);
    acc[h] = _mm512_dpbf16_ps(acc[h], pair_of(lookup.odd(q)), x1);
  }
}

// One token: each operand is used once, so it stays in registers. The same operations in the same order as
// above, so the same bits.
template <DType D>
void token_quants_bf16(const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
  constexpr QuantFormat f = quant_format(D);
  const Bf16Lookup<D> lookup;
  constexpr int kGroups = kScaledGroups<D>;
  __m512 sum[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  __m512 acc[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
  for_groups<D>(panel, groups,
                [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
                  const uint8_t* record = tile + g * kBF16GroupBytes;
                  const Scales s = load_scales<D>(block, group);
                  auto add = [&](int i, float x) __attribute__((always_inline)) {
#pragma GCC unroll 2
                    for (int h = 0; h < 2; ++h) {
                      sum[h] = _mm512_fmadd_ps(acc[h], s.scale[i][h], sum[h]);
                      if constexpr (f.has_min)
                        sum[h] = _mm512_fnmadd_ps(s.min[i][h], _mm512_set1_ps(x), sum[h]);
                      acc[h] = _mm512_setzero_ps();
                    }
                  };
                  dot_word<D, 0>(group, lookup, record, acc);
                  dot_word<D, 1>(group, lookup, record, acc);
                  dot_word<D, 2>(group, lookup, record, acc);
                  dot_word<D, 3>(group, lookup, record, acc);
                  if constexpr (f.half_scales) add(0, activation_sum<true>(record, 1, 0, 1, 0));
                  dot_word<D, 4>(group, lookup, record, acc);
                  dot_word<D, 5>(group, lookup, record, acc);
                  dot_word<D, 6>(group, lookup, record, acc);
                  dot_word<D, 7>(group, lookup, record, acc);
                  if constexpr (f.half_scales) {
                    add(1, activation_sum<true>(record, 1, 0, 1, 1));
                  } else if (g % kGroups == kGroups - 1) {
                    add(0, activation_sum<false>(record - (kGroups - 1) * kBF16GroupBytes, 1, 0, kGroups, 0));
                  }
                });
  store_tile_row(sum[0], sum[1], 0, out);
}

// Several tiles: a piece of a panel becomes bf16 once for all of them, their sums wait in L1 and L2.
constexpr int kPieceGroups = 32, kPieceTiles = 24;

template <DType D>
void gemm_quants_bf16_wide(const GemmArgs& a) {
  constexpr int kGroups = kScaledGroups<D>;
  static_assert(kPieceGroups % kGroups == 0);
  const Bf16Lookup<D> lookup;
  alignas(64) uint8_t operands[kPieceGroups][2048];
  Scales scales[kPieceGroups / kGroups];
  Sums sums[kPieceTiles];
  const int64_t groups = a.weight.k / kGroupK, bytes = tile_bytes(a.precision, kFloatTile, a.weight.k);
  const int64_t panel_bytes = packed_panel_bytes(a.weight.dtype, a.weight.k);
  const int64_t fit = kActivationChunkBytes / bytes;
  const int64_t chunk = (fit < 1 ? 1 : fit > kPieceTiles ? kPieceTiles : fit) * kFloatTile;
  const auto* activations = reinterpret_cast<const uint8_t*>(a.activations);
  for (int64_t begin = 0; begin < a.m; begin += chunk) {
    const int64_t end = begin + chunk < a.m ? begin + chunk : a.m;
    for (int64_t p = a.panel_begin; p < a.panel_end; ++p) {
      const uint8_t* panel = reinterpret_cast<const uint8_t*>(a.weight.data) + p * panel_bytes;
      auto for_tiles = [&](auto body) __attribute__((always_inline)) {
        for (int64_t t = begin; t < end; t += kFloatTile) {
          const int64_t tokens = end - t < kFloatTile ? end - t : kFloatTile;
          body(t, static_cast<int>(tokens), sums[(t - begin) / kFloatTile]);
        }
      };
      for_tiles([](int64_t, int tokens, Sums& s) { clear(s, tokens); });
      auto multiply = [&](int64_t first, int64_t count) __attribute__((always_inline)) {
        for_tiles([&](int64_t t, int tokens, Sums& s) {
          const uint8_t* record = activations + t / kFloatTile * bytes + first * kBF16GroupBytes * tokens;
          for (int64_t i = 0; i < count; i += kGroups, record += kGroups * kBF16GroupBytes * tokens)
            kScaledDot<D>[tokens - 1](operands[i], record, scales[i / kGroups], kGroups, s);
        });
      };
      for_groups<D>(panel, groups,
                    [&](int64_t g, const uint8_t* block, const uint8_t* group)
                        __attribute__((always_inline)) {
                          const int64_t i = g % kPieceGroups;
                          group_to_bf16<D>(group, lookup, operands[i]);
                          scales[i / kGroups] = load_scales<D>(block, group);
                          if (i + 1 == kPieceGroups || g + 1 == groups) multiply(g - i, i + 1);
                        });
      const int64_t row = p * kPanelRows, left = a.weight.n - row;
      for_tiles([&](int64_t t, int tokens, Sums& s) {
        store_tile(s, tokens,
                   {a.y + t * a.y_stride + row, a.y_stride, a.bias ? a.bias + row : nullptr,
                    static_cast<int>(left < kPanelRows ? left : kPanelRows), a.accumulate});
      });
    }
  }
}

// --- f32 weights in a [32 k][32 rows] buffer, or read from the panel ---
template <int T>
void fma_f32(const float* w, const uint8_t* record, Sums& sums) {
  __m512 acc[T][2];
  load_sums<T>(sums, acc);
  const auto* x = reinterpret_cast<const float*>(record);
#pragma GCC unroll 2
  for (int k = 0; k < kGroupK; ++k) {
    __m512 w0 = _mm512_loadu_ps(w + k * 32), w1 = _mm512_loadu_ps(w + k * 32 + 16);
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t) {
      __m512 a = _mm512_set1_ps(x[k * T + t]);
      acc[t][0] = _mm512_fmadd_ps(w0, a, acc[t][0]);
      acc[t][1] = _mm512_fmadd_ps(w1, a, acc[t][1]);
    }
  }
  save_sums<T>(acc, sums);
}

// The same with bf16 activations widened to f32. Strides of the record in bytes: of a pair of k, of a token.
template <int T, int kPairStride = 4 * T, int kTokenStride = 4>
void fma_bf16(const float* w, const uint8_t* record, Sums& sums) {
  __m512 acc[T][2];
  load_sums<T>(sums, acc);
#pragma GCC unroll 1
  for (int k = 0; k < kGroupK; ++k) {
    __m512 w0 = _mm512_loadu_ps(w + k * 32), w1 = _mm512_loadu_ps(w + k * 32 + 16);
    const uint8_t* x = record + bf16_pair(k) * kPairStride + bf16_side(k) * 2;
#pragma GCC unroll 12
    for (int t = 0; t < T; ++t) {
      uint16_t bits;
      __builtin_memcpy(&bits, x + t * kTokenStride, 2);
      __m512 a =
          _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int32_t>(static_cast<uint32_t>(bits) << 16)));
      acc[t][0] = _mm512_fmadd_ps(w0, a, acc[t][0]);
      acc[t][1] = _mm512_fmadd_ps(w1, a, acc[t][1]);
    }
  }
  save_sums<T>(acc, sums);
}

using FmaGroup = void (*)(const float*, const uint8_t*, Sums&);
constexpr FmaGroup kFmaF32[kFloatTile] = {fma_f32<1>, fma_f32<2>,  fma_f32<3>,  fma_f32<4>,
                                          fma_f32<5>, fma_f32<6>,  fma_f32<7>,  fma_f32<8>,
                                          fma_f32<9>, fma_f32<10>, fma_f32<11>, fma_f32<12>};
constexpr FmaGroup kFmaBF16[kFloatTile] = {fma_bf16<1>, fma_bf16<2>,  fma_bf16<3>,  fma_bf16<4>,
                                           fma_bf16<5>, fma_bf16<6>,  fma_bf16<7>,  fma_bf16<8>,
                                           fma_bf16<9>, fma_bf16<10>, fma_bf16<11>, fma_bf16<12>};

template <DType D, int kWord>
[[gnu::always_inline]] inline void word_to_f32(const uint8_t* group, const Scales& s, float* w) {
  constexpr QuantFormat f = quant_format(D);
  constexpr int i = f.half_scales ? kWord / 4 : 0;
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
    __m512i x = quants<D, kWord>(group, h);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      __m512i q =
          _mm512_and_si512(_mm512_srli_epi32(x, static_cast<unsigned>(8 * j)), _mm512_set1_epi32(255));
      __m512 v = _mm512_mul_ps(s.scale[i][h], quants_to_f32<D>(q));
      if constexpr (f.has_min) v = _mm512_sub_ps(v, s.min[i][h]);
      _mm512_store_ps(w + (kWord * 4 + j) * 32 + 16 * h, v);
    }
  }
}

template <DType D>
void tile_quants_f32(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups,
                     const TileOutput& out) {
  FmaGroup fma = kFmaF32[tokens - 1];
  alignas(64) float w[kGroupK * kPanelRows];
  Sums sums;
  clear(sums, tokens);
  for_groups<D>(panel, groups,
                [&](int64_t g, const uint8_t* block, const uint8_t* group) __attribute__((always_inline)) {
                  Scales s = load_scales<D>(block, group);
                  word_to_f32<D, 0>(group, s, w);
                  word_to_f32<D, 1>(group, s, w);
                  word_to_f32<D, 2>(group, s, w);
                  word_to_f32<D, 3>(group, s, w);
                  word_to_f32<D, 4>(group, s, w);
                  word_to_f32<D, 5>(group, s, w);
                  word_to_f32<D, 6>(group, s, w);
                  word_to_f32<D, 7>(group, s, w);
                  fma(w, tile + g * kF32GroupBytes * tokens, sums);
                });
  store_tile(sums, tokens, out);
}

// A group of f16 or bf16 weights as f32; f32 weights are used where they lie.
template <DType D>
[[gnu::always_inline]] inline const float* widen_group(const uint8_t* group, float* w) {
  if constexpr (D == DType::kF32) return reinterpret_cast<const float*>(group);
  for (int k = 0; k < kGroupK; ++k) {
    for (int h = 0; h < 2; ++h) {
      __m512 v;
      if constexpr (D == DType::kF16) {
        v = load_f16(group + k * 64 + 32 * h);
      } else {
        __m512i x = load(group + bf16_pair(k) * 128 + 64 * h);
        x = bf16_side(k) == 0 ? _mm512_slli_epi32(x, 16)
                              : _mm512_and_si512(x, _mm512_set1_epi32(static_cast<int32_t>(0xffff0000u)));
        v = _mm512_castsi512_ps(x);
      }
      _mm512_store_ps(w + k * 32 + 16 * h, v);
    }
  }
  return w;
}

template <DType D>
void tile_floats(int tokens, const uint8_t* panel, const uint8_t* tile, int64_t record_stride, int64_t groups,
                 FmaGroup fma, const TileOutput& out) {
  alignas(64) float w[kGroupK * kPanelRows];
  Sums sums;
  clear(sums, tokens);
  for (int64_t g = 0; g < groups; ++g, panel += float_group_bytes_of<D>) {
#pragma GCC unroll 1
    for (int i = 0; i < float_group_bytes_of<D>; i += 64) {
      _mm_prefetch(reinterpret_cast<const char*>(panel + kPrefetchAhead + i), _MM_HINT_T0);
    }
    fma(widen_group<D>(panel, w), tile + g * record_stride, sums);
  }
  store_tile(sums, tokens, out);
}

// --- entry points ---
void gemm_bf16_weights(const GemmArgs& a) {
  static constexpr TileKernel kKernels[kFloatTile] = {
      tile_bf16<1>, tile_bf16<2>, tile_bf16<3>, tile_bf16<4>,  tile_bf16<5>,  tile_bf16<6>,
      tile_bf16<7>, tile_bf16<8>, tile_bf16<9>, tile_bf16<10>, tile_bf16<11>, tile_bf16<12>};
  run_tile_kernels(a, kFloatTile, kKernels);
}

template <DType D>
void gemm_float(const GemmArgs& a) {
  if (a.precision == Precision::kInt8) __builtin_trap();  // the caller picks kBF16 for float weights
  if (D == DType::kBF16 && a.precision == Precision::kBF16) return gemm_bf16_weights(a);
  const FmaGroup* fma = a.precision == Precision::kBF16 ? kFmaBF16 : kFmaF32;
  int64_t record_bytes = group_bytes(a.precision);
  run_tiles(
      a, kFloatTile,
      [=](int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
        tile_floats<D>(tokens, panel, tile, record_bytes * tokens, groups, fma[tokens - 1], out);
      });
}

template <DType D>
void gemm_quants_float(const GemmArgs& a) {
  if (a.precision == Precision::kBF16) {
    if (a.m > kFloatTile) return gemm_quants_bf16_wide<D>(a);
    return run_tiles(
        a, kFloatTile,
        [](int tokens, const uint8_t* panel, const uint8_t* tile, int64_t groups, const TileOutput& out) {
          if (tokens == 1) return token_quants_bf16<D>(panel, tile, groups, out);
          tile_quants_bf16<D>(tokens, panel, tile, groups, out);
        });
  }
  run_tiles(a, kFloatTile, tile_quants_f32<D>);
}

}  // namespace
}  // namespace turgo::avx512
