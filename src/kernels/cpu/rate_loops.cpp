// Inline assembly: a compiler that sees constant operands would drop the loops.
#include "kernels/cpu/rate_loops.h"

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace turgo {
namespace {

int64_t read_words(const std::byte* data, int64_t bytes) {
  const auto* p = reinterpret_cast<const int64_t*>(data);
  int64_t sums[8] = {};
  for (int64_t i = 0; i < bytes / 8; i += 8) {
    __builtin_prefetch(p + i + 1024);
    for (int j = 0; j < 8; ++j) sums[j] += p[i + j];
  }
  int64_t total = 0;
  for (int64_t s : sums) total += s;
  return total;
}

#if defined(__x86_64__)
// Chains enough to hide the latency: 4 cycles for integer dots, 6 for vdpbf16ps, at two per cycle.
#define TEN(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9)
#define FOURTEEN(op) TEN(op) op(10) op(11) op(12) op(13)
#define CLOBBER_SUMS                                                                                         \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", \
      "xmm13", "xmm14", "xmm15"

#define TURGO_RATE_LOOP(name, isa, setup, body)            \
  __attribute__((target(isa))) void name(int64_t rounds) { \
    for (int64_t i = 0; i < rounds; ++i) {                 \
      __asm__ volatile(setup body ::: CLOBBER_SUMS);       \
    }                                                      \
  }

#define ZERO15 "vpxor %%ymm15, %%ymm15, %%ymm15\n"
#define ZMM_INT8(r) "vpdpbusd %%zmm15, %%zmm15, %%zmm" #r "\n"
#define ZMM_BF16(r) "vdpbf16ps %%zmm15, %%zmm15, %%zmm" #r "\n"
#define ZMM_F32(r) "vfmadd231ps %%zmm15, %%zmm15, %%zmm" #r "\n"
#define YMM_INT8(r) "%{vex%} vpdpbusd %%ymm15, %%ymm15, %%ymm" #r "\n"
#define YMM_MADD(r) "vpmaddubsw %%ymm15, %%ymm15, %%ymm14\nvpaddw %%ymm14, %%ymm" #r ", %%ymm" #r "\n"
#define YMM_F32(r) "vfmadd231ps %%ymm15, %%ymm15, %%ymm" #r "\n"
TURGO_RATE_LOOP(zmm_int8, "avx512f", ZERO15, FOURTEEN(ZMM_INT8))
TURGO_RATE_LOOP(zmm_bf16, "avx512f", ZERO15, FOURTEEN(ZMM_BF16))
TURGO_RATE_LOOP(zmm_f32, "avx512f", ZERO15, FOURTEEN(ZMM_F32))
TURGO_RATE_LOOP(ymm_int8, "avx2", ZERO15, FOURTEEN(YMM_INT8))
TURGO_RATE_LOOP(ymm_madd, "avx2", ZERO15, FOURTEEN(YMM_MADD))
TURGO_RATE_LOOP(ymm_f32, "avx2", ZERO15, FOURTEEN(YMM_F32))

__attribute__((target("avx512f"))) int64_t read_zmm(const std::byte* data, int64_t bytes) {
  __m512i sums[4];
  for (__m512i& s : sums) s = _mm512_setzero_si512();
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 4; ++j) {
      const std::byte* p = data + i + 64 * j;
      _mm_prefetch(reinterpret_cast<const char*>(p + 8192), _MM_HINT_T0);
      sums[j] = _mm512_add_epi64(sums[j], _mm512_load_si512(p));
    }
  }
  alignas(64) int64_t lanes[8];
  _mm512_store_si512(
      lanes, _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3])));
  int64_t total = 0;
  for (int64_t lane : lanes) total += lane;
  return total;
}

__attribute__((target("avx2"))) int64_t read_ymm(const std::byte* data, int64_t bytes) {
  __m256i sums[8];
  for (__m256i& s : sums) s = _mm256_setzero_si256();
  for (int64_t i = 0; i < bytes; i += 256) {
    for (int j = 0; j < 8; ++j) {
      const std::byte* p = data + i + 32 * j;
      if (j % 2 == 0) _mm_prefetch(reinterpret_cast<const char*>(p + 8192), _MM_HINT_T0);
      sums[j] = _mm256_add_epi64(sums[j], _mm256_load_si256(reinterpret_cast<const __m256i*>(p)));
    }
  }
  __m256i all = _mm256_setzero_si256();
  for (__m256i s : sums) all = _mm256_add_epi64(all, s);
  alignas(32) int64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), all);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3];
}

// Four sum tiles: a tile product takes 16 cycles and has a latency of 52.
#define TILE_INT8(r) "tdpbssd %%tmm7, %%tmm6, %%tmm" #r "\n"
#define TILE_BF16(r) "tdpbf16ps %%tmm7, %%tmm6, %%tmm" #r "\n"
#define FOURTEEN_TILES(op) op(0) op(1) op(2) op(3) op(0) op(1) op(2) op(3) op(0) op(1) op(2) op(3) op(0) op(1)
#define TURGO_TILE_LOOP(name, op)                                                          \
  __attribute__((target("amx-tile,amx-int8,amx-bf16"))) void name(int64_t rounds) {        \
    struct alignas(64) {                                                                   \
      uint8_t palette = 1, reserved[15] = {};                                              \
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};                               \
      uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};                                 \
    } config;                                                                              \
    __asm__ volatile("ldtilecfg %0\ntilezero %%tmm6\ntilezero %%tmm7" ::"m"(config));      \
    for (int64_t i = 0; i < rounds; ++i) __asm__ volatile(FOURTEEN_TILES(op)::: "memory"); \
    __asm__ volatile("tilerelease");                                                       \
  }
TURGO_TILE_LOOP(tile_int8, TILE_INT8)
TURGO_TILE_LOOP(tile_bf16, TILE_BF16)

struct Loop {
  const char* isa;
  RateKind kind;
  void (*run)(int64_t);
  double macs;  // of one instruction
};
constexpr Loop kLoops[] = {
    {"avx512", RateKind::kInt8, zmm_int8, 64}, {"avx512", RateKind::kBF16, zmm_bf16, 32},
    {"avx512", RateKind::kF32, zmm_f32, 16},   {"avxvnni", RateKind::kInt8, ymm_int8, 32},
    {"avxvnni", RateKind::kBF16, ymm_f32, 8},  {"avxvnni", RateKind::kF32, ymm_f32, 8},
    {"avx2", RateKind::kInt8, ymm_madd, 32},   {"avx2", RateKind::kBF16, ymm_f32, 8},
    {"avx2", RateKind::kF32, ymm_f32, 8},      {"amx", RateKind::kInt8, tile_int8, 16384},
    {"amx", RateKind::kBF16, tile_bf16, 8192}, {"amx", RateKind::kF32, zmm_f32, 16},
};
#endif

}  // namespace

double run_rate_loop([[maybe_unused]] const char* isa, [[maybe_unused]] RateKind kind,
                     [[maybe_unused]] int64_t rounds) {
#if defined(__x86_64__)
  for (const Loop& loop : kLoops) {
    if (std::strcmp(isa, loop.isa) != 0 || kind != loop.kind) continue;
    loop.run(rounds);
    return static_cast<double>(rounds) * 14 * 2 * loop.macs;
  }
#endif
  return 0;
}

int64_t read_all([[maybe_unused]] const char* isa, const std::byte* data, int64_t bytes) {
#if defined(__x86_64__)
  if (std::strcmp(isa, "avx512") == 0 || std::strcmp(isa, "amx") == 0) return read_zmm(data, bytes);
  if (std::strncmp(isa, "avx", 3) == 0) return read_ymm(data, bytes);
#endif
  return read_words(data, bytes);
}

}  // namespace turgo
