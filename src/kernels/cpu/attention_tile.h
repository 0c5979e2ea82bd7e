// Register tiles of attention: up to V::kTileRows rows (a row is one query of one head) times a stretch of
// keys (scores) or of value columns (output). All tiles do the same operations per output, in the same order
// of k, so that a row's bits do not depend on which rows it shares a tile with.
//
// `a` holds one or two 32-bit words per step and row, broadcast over the columns; `b` is the page. What a
// step is, a Panel says: one dimension or key in f32, a pair of them in bf16; integers have loops of their
// own.
//
// Loops over the tile's sums are unrolled by force: g++ 12 otherwise keeps the sums in memory around the loop
// over steps (twice the vector instructions in all).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/kv_block.h"

#ifdef __clang__
#define TURGO_UNROLL _Pragma("unroll")
#else
#define TURGO_UNROLL _Pragma("GCC unroll 8")
#endif

namespace turgo {
namespace {

// acc[r][c] += a[r] * values[c]
template <class V, int R, int C>
[[gnu::always_inline]] inline void add_products(typename V::F (&acc)[R][C], const float* a, int64_t lda,
                                                const typename V::F (&values)[C]) {
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    const auto x = V::set1(a[r * lda]);
    TURGO_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = V::fma(x, values[c], acc[r][c]);
  }
}

// A Panel: words of `a` per step, and one step. A column is 32 bits wide.
template <class V>
struct PanelF32 {
  static constexpr int kWords = 1;
  template <int R, int C>
  [[gnu::always_inline]] static void step(typename V::F (&acc)[R][C], const float* a, int64_t lda,
                                          const std::byte* b, int64_t column) {
    typename V::F values[C];
    TURGO_UNROLL for (int c = 0; c < C; ++c) {
      values[c] = V::load(reinterpret_cast<const float*>(b) + column + c * V::kLanes);
    }
    add_products<V>(acc, a, lda, values);
  }
};

// Pairs of bf16. With a dot instruction a word is a pair of bf16, else two words are two f32. kHalf: the
// second of each pair counts as zero, whatever bits stand there (a slot that no token has written yet).
template <class V, bool kHalf = false>
struct PanelBf16 {
  static constexpr int kWords = V::kHasBf16Dot ? 1 : 2;
  template <int R, int C>
  [[gnu::always_inline]] static void step(typename V::F (&acc)[R][C], const float* a, int64_t lda,
                                          const std::byte* b, int64_t column) {
    typename V::I pairs[C];
    TURGO_UNROLL for (int c = 0; c < C; ++c) {
      pairs[c] = V::load_int(b + (column + c * V::kLanes) * 4);
      if (kHalf) pairs[c] = V::and_int(pairs[c], V::set1_int(0xffff));
    }
    if constexpr (V::kHasBf16Dot) {
      TURGO_UNROLL for (int r = 0; r < R; ++r) {
        const auto x = V::set1_word(a + r * lda);
        TURGO_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = V::dot_bf16(acc[r][c], x, pairs[c]);
      }
    } else {
      typename V::F values[C];
      TURGO_UNROLL for (int c = 0; c < C; ++c) values[c] = V::bf16_low(pairs[c]);
      add_products<V>(acc, a, lda, values);
      TURGO_UNROLL for (int c = 0; c < C; ++c) values[c] = V::bf16_high(pairs[c]);
      add_products<V>(acc, a + 1, lda, values);
    }
  }
};

struct Tile {
  const float* a;  // [rows][lda] words
  int64_t lda;
  const std::byte* b;  // step s at b + s * b_stride
  int64_t b_stride;
  int64_t steps;
  float* out;  // [rows][ldo], column 0 of the page's row
  int64_t ldo;
  int64_t ahead = 0;  // not 0: every line read at p also prefetches p + ahead
};

template <int kBytes>
[[gnu::always_inline]] inline void prefetch_ahead(const std::byte* line, int64_t ahead) {
  if (ahead == 0) return;
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(line + ahead + i);
}

// out[r][column + …] = a · b (+ out) over R rows and C vectors.
template <class V, class Panel, bool kAccumulate, int R, int C>
void multiply_columns(const Tile& t, int64_t column) {
  typename V::F acc[R][C];
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    TURGO_UNROLL for (int c = 0; c < C; ++c) {
      acc[r][c] = kAccumulate ? V::load(t.out + r * t.ldo + column + c * V::kLanes) : V::zero();
    }
  }
  for (int64_t s = 0; s < t.steps; ++s) {
    const std::byte* b = t.b + s * t.b_stride;
    prefetch_ahead<C * V::kLanes * 4>(b + column * 4, t.ahead);
    Panel::template step<R, C>(acc, t.a + s * Panel::kWords, t.lda, b, column);
  }
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    TURGO_UNROLL for (int c = 0; c < C; ++c) {
      V::store(t.out + r * t.ldo + column + c * V::kLanes, acc[r][c]);
    }
  }
}

// Columns [begin, end), a multiple of V::kLanes.
template <class V, class Panel, bool kAccumulate, int R>
void multiply(const Tile& t, int64_t begin, int64_t end) {
  constexpr int kMost = V::kTileVectors;
  int64_t column = begin;
  for (; column + kMost * V::kLanes <= end; column += kMost * V::kLanes) {
    multiply_columns<V, Panel, kAccumulate, R, kMost>(t, column);
  }
  if constexpr (kMost > 2) {
    for (; column + 2 * V::kLanes <= end; column += 2 * V::kLanes) {
      multiply_columns<V, Panel, kAccumulate, R, 2>(t, column);
    }
  }
  for (; column < end; column += V::kLanes) multiply_columns<V, Panel, kAccumulate, R, 1>(t, column);
}

// acc[r][c] += the four bytes of u[c] times four factors of row r.
template <class V, int R, int C>
[[gnu::always_inline]] inline void add_integer_products(typename V::I (&acc)[R][C], const float* a,
                                                        int64_t lda, const typename V::I (&u)[C]) {
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    if constexpr (V::kHasByteDot) {
      const auto q = V::set1_word(a + r * lda);
      TURGO_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = V::dot_u8s8(acc[r][c], u[c], q);
    } else {
      int32_t q[2];
      __builtin_memcpy(q, a + r * lda, sizeof q);
      TURGO_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = V::dot_u8s16(acc[r][c], u[c], q[0], q[1]);
    }
  }
}

// The integer words of a row: n factors of at most largest_factor(n), so that sums with u8 are exact and
// their order is free. With a byte dot, n bytes `high`, then n bytes `low`, both signed (factor = high * 256
// + low, in two passes over the same sums); else two words per four factors, see dot_u8s16. n is a multiple
// of 16.
constexpr int64_t factor_words(int64_t n) {
  return n / 2;
}
// The largest high byte with every low one; times 255 and n, for n up to 512, it still fits an int32.
constexpr float largest_factor(int64_t n) {
  return n <= 256 ? 32639.0f : 16255.0f;
}

// Nearest even of kLanes floats of at most 2^22, as integers.
template <class V>
typename V::I to_factors(typename V::F x) {
  // Adding 1.5 * 2^23 rounds in the low bits.
  return V::add_int(V::cast_i(V::add(x, V::set1(12582912.f))), V::set1_int(-0x4b400000));
}

template <class V, int R, int C>
[[gnu::always_inline]] inline void clear_sums(typename V::I (&acc)[R][C]) {
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    TURGO_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = V::set1_int(0);
  }
}

// Between the passes over high and low bytes.
template <class V, int R, int C>
[[gnu::always_inline]] inline void raise_sums(typename V::I (&acc)[R][C]) {
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    TURGO_UNROLL for (int c = 0; c < C; ++c) acc[r][c] = V::template shift_left<8>(acc[r][c]);
  }
}

// Integer scores over the dimensions, four (kNibbles: eight) a step; t.a holds `n` factors a row.
template <class V, bool kNibbles, int R, int C>
void integer_scores(const Tile& t, int64_t n, int64_t column) {
  constexpr int kParts = kNibbles ? 2 : 1;  // groups of four dimensions in a step's 32 bits
  constexpr int kWords = V::kHasByteDot ? 1 : 2;
  constexpr int kPasses = V::kHasByteDot ? 2 : 1;
  typename V::I acc[R][C];
  clear_sums<V>(acc);
  for (int pass = 0; pass < kPasses; ++pass) {
    const float* a = t.a + pass * n / 4;
    for (int64_t s = 0; s < t.steps; ++s) {
      const std::byte* b = t.b + s * t.b_stride + column * 4;
      if (pass == 0) prefetch_ahead<C * V::kLanes * 4>(b, t.ahead);
      for (int part = 0; part < kParts; ++part) {
        typename V::I u[C];
        TURGO_UNROLL for (int c = 0; c < C; ++c) {
          u[c] = V::load_int(b + c * V::kLanes * 4);
          if (kNibbles) u[c] = V::nibbles(u[c], part == 1);
        }
        add_integer_products<V>(acc, a, t.lda, u);
        a += kWords;
      }
    }
    if (pass + 1 < kPasses) raise_sums<V>(acc);
  }
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    TURGO_UNROLL for (int c = 0; c < C; ++c) {
      V::store_int(t.out + r * t.ldo + column + c * V::kLanes, acc[r][c]);
    }
  }
}

// What the factors of a row's keys are times.
struct ValueSums {
  float scale;
  int32_t shift;  // what every sum gets: minus u's middle times all factors
};

// out[r][column + …] += scale * (factors of the keys · V + shift), four keys a step, over C vectors of V's
// words: as many columns each, or with nibbles as many low ones and, 16 columns on, as many high ones.
template <class V, bool kNibbles, int R, int C>
[[gnu::noinline]] void integer_values(const Tile& t, const ValueSums* sums, int64_t column) {
  constexpr int kParts = kNibbles ? 2 : 1;
  constexpr int kWords = V::kHasByteDot ? 1 : 2;
  constexpr int kPasses = V::kHasByteDot ? 2 : 1;
  constexpr int kColumns = kParts * C;  // vectors of columns: all low ones first
  typename V::I acc[R][kColumns];
  clear_sums<V>(acc);
  const int64_t word = kNibbles ? column / 32 * 16 + column % 16 : column;
  for (int pass = 0; pass < kPasses; ++pass) {
    const float* a = t.a + pass * kKvBlockTokens / 4;
    for (int64_t s = 0; s < t.steps; ++s) {
      const std::byte* b = t.b + s * t.b_stride + word * 4;
      if (pass == 0) prefetch_ahead<C * V::kLanes * 4>(b, t.ahead);
      typename V::I u[kColumns];
      TURGO_UNROLL for (int c = 0; c < kColumns; ++c) {
        u[c] = V::load_int(b + c % C * V::kLanes * 4);
        if (kNibbles) u[c] = V::nibbles(u[c], c >= C);
      }
      add_integer_products<V>(acc, a, t.lda, u);
      a += kWords;
    }
    if (pass + 1 < kPasses) raise_sums<V>(acc);
  }
  TURGO_UNROLL for (int r = 0; r < R; ++r) {
    TURGO_UNROLL for (int c = 0; c < kColumns; ++c) {
      float* out = t.out + r * t.ldo + column + c / C * 16 + c % C * V::kLanes;
      const auto sum = V::to_float(V::add_int(acc[r][c], V::set1_int(sums[r].shift)));
      V::store(out, V::fma(sum, V::set1(sums[r].scale), V::load(out)));
    }
  }
}

}  // namespace
}  // namespace turgo
