// The tile registers of AMX as one object: 16 tokens x 16 rows of 32-bit sums. The unit is configured while
// the object lives. Instructions are written as assembly with a memory clobber: g++ 12's intrinsics have
// none, and would let stores to an operand move behind its load.
//
// Tiles: 0 … 3 sums [16 tokens][16 rows], 4, 5 tokens [16][k_bytes], 6, 7 weights [k_bytes / 4][16 rows][4
// bytes].
#pragma once

#include "kernels/cpu/gemm_common.h"

namespace turgo::amx {
namespace {

constexpr int kTokens = 16;  // of a tile

class HardwareTiles {
 public:
  // k_bytes of every token take part in one product: 16, 32 or 64.
  explicit HardwareTiles(int k_bytes) {
    struct alignas(64) {
      uint8_t palette, start_row, reserved[14];
      uint16_t bytes[16];
      uint8_t rows[16];
    } config;
    __builtin_memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = 0; i < 8; ++i) {
      config.bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? k_bytes : 64);
      config.rows[i] = static_cast<uint8_t>(i >= 6 ? k_bytes / 4 : 16);
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
  }
  ~HardwareTiles() { __asm__ volatile("tilerelease" ::: "memory"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  // products [16 tokens][16 rows] = tokens (a_stride bytes apart) x weights [k_bytes / 4][16 rows][4 bytes],
  // s8 to int32 or bf16 pairs to f32. Always the same three tiles: a product takes 17 ns so and 25 ns when
  // two sets take turns (a Xeon at 2.6 GHz).
  template <Precision kPrecision>
  [[gnu::always_inline]] void multiply(const uint8_t* a, int64_t a_stride, const uint8_t* b, void* products) {
#define TURGO_PRODUCT(dot)                                                                                 \
  __asm__ volatile("tilezero %%tmm0\n\ttileloadd (%0,%1,1), %%tmm4\n\ttileloadd (%2,%3,1), %%tmm6\n\t" dot \
                   " %%tmm6, %%tmm4, %%tmm0\n\ttilestored %%tmm0, (%4,%3,1)" ::"r"(a),                     \
                   "r"(a_stride), "r"(b), "r"(int64_t{64}), "r"(products)                                  \
                   : "memory")
    if constexpr (kPrecision == Precision::kInt8) {
      TURGO_PRODUCT("tdpbssd");
    } else {
      TURGO_PRODUCT("tdpbf16ps");
    }
#undef TURGO_PRODUCT
  }

  void clear() { __asm__ volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3"); }

  // The four sum tiles += 16 or 32 tokens (64 bytes each) x one packed group of 32 rows of bf16 [16][32][2].
  template <int kTokenTiles>
  [[gnu::always_inline]] void add_bf16(const uint8_t* a0, const uint8_t* a1, const uint8_t* group) {
    __asm__ volatile(
        "tileloadd (%0,%2,1), %%tmm6\n\ttileloadd (%1,%3,1), %%tmm4\n\ttdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\t"
        "tileloadd 64(%0,%2,1), %%tmm7\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1" ::"r"(group),
        "r"(a0), "r"(int64_t{128}), "r"(int64_t{64})
        : "memory");
    if constexpr (kTokenTiles == 2) {
      __asm__ volatile(
          "tileloadd (%0,%1,1), %%tmm5\n\ttdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, "
          "%%tmm3" ::"r"(a1),
          "r"(int64_t{64})
          : "memory");
    }
  }

  // The sum tiles as [16 or 32 tokens][32 rows] f32, and back.
  template <int kTokenTiles>
  [[gnu::always_inline]] void load(const float* sums) {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm0\n\ttileloadd 64(%0,%1,1), %%tmm1" ::"r"(sums),
                     "r"(int64_t{128})
                     : "memory");
    if constexpr (kTokenTiles == 2) {
      __asm__ volatile(
          "tileloadd (%0,%1,1), %%tmm2\n\ttileloadd 64(%0,%1,1), %%tmm3" ::"r"(sums + kTokens * kPanelRows),
          "r"(int64_t{128})
          : "memory");
    }
  }
  template <int kTokenTiles>
  [[gnu::always_inline]] void store(float* sums) {
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilestored %%tmm1, 64(%0,%1,1)" ::"r"(sums),
                     "r"(int64_t{128})
                     : "memory");
    if constexpr (kTokenTiles == 2) {
      __asm__ volatile(
          "tilestored %%tmm2, (%0,%1,1)\n\ttilestored %%tmm3, 64(%0,%1,1)" ::"r"(sums + kTokens * kPanelRows),
          "r"(int64_t{128})
          : "memory");
    }
  }
};

}  // namespace
}  // namespace turgo::amx
