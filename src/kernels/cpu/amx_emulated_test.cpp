// Tables with which any AVX-512 machine tests what runs on others alone. Not a part of the program.
//  - "amx" with a tile unit in plain code: everything of it but the tile instructions themselves.
//  - the linear functions of "avx512" as on Intel, where many tokens share unpacked panels.
#include "kernels/cpu/gemm_amx.h"

namespace turgo {

extern const KernelTable kAmxEmulatedTable, kAvx512SharingTable;

namespace {

class EmulatedTiles {
 public:
  explicit EmulatedTiles(int k_bytes) : words_(k_bytes / 4) {}

  template <Precision kPrecision>
  void multiply(const uint8_t* a, int64_t a_stride, const uint8_t* b, void* products) {
    for (int i = 0; i < 16 * 16; ++i) {
      const uint8_t* tokens = a + i / 16 * a_stride;
      const uint8_t* weights = b + i % 16 * 4;
      auto* to = static_cast<uint8_t*>(products) + i * 4;
      if constexpr (kPrecision == Precision::kInt8) {
        int32_t sum = 0;
        for (int k = 0; k < 4 * words_; ++k)
          sum += static_cast<int8_t>(tokens[k]) * static_cast<int8_t>(weights[k / 4 * 64 + k % 4]);
        __builtin_memcpy(to, &sum, 4);
      } else {
        float sum = dot(tokens, weights, 64);
        __builtin_memcpy(to, &sum, 4);
      }
    }
  }

  void clear() { __builtin_memset(sums_, 0, sizeof sums_); }

  template <int kTokenTiles>
  void add_bf16(const uint8_t* a0, const uint8_t* a1, const uint8_t* group) {
    for (int t = 0; t < 16 * kTokenTiles; ++t) {
      const uint8_t* a = t < 16 ? a0 + t * 64 : a1 + (t - 16) * 64;
      for (int r = 0; r < 32; ++r) sums_[t][r] += dot(a, group + r * 4, 128);
    }
  }

  template <int kTokenTiles>
  void load(const float* sums) {
    __builtin_memcpy(sums_, sums, sizeof(float) * 32 * 16 * kTokenTiles);
  }
  template <int kTokenTiles>
  void store(float* sums) {
    __builtin_memcpy(sums, sums_, sizeof(float) * 32 * 16 * kTokenTiles);
  }

 private:
  // As tdpbf16ps: the first and the second of every pair in sums of their own.
  float dot(const uint8_t* a, const uint8_t* b, int64_t b_stride) const {
    float sums[2] = {};
    for (int i = 0; i < 2 * words_; ++i) {
      uint16_t x, y;
      __builtin_memcpy(&x, a + i * 2, 2);
      __builtin_memcpy(&y, b + i / 2 * b_stride + i % 2 * 2, 2);
      sums[i % 2] += bits_to_f32(uint32_t{x} << 16) * bits_to_f32(uint32_t{y} << 16);
    }
    return sums[0] + sums[1];
  }

  int words_;  // of 4 bytes of k
  float sums_[32][32];
};

constexpr KernelTable sharing_table() {
  KernelTable table = amx::make_table<EmulatedTiles>("avx512_sharing");
  table.activation_tile = avx512::activation_tile;
  table.activation_bytes = avx512::activation_bytes;
  table.pack_activations = avx512::pack_activations;
  table.gemm = avx512::gemm<true>;
  return table;
}

}  // namespace

const KernelTable kAmxEmulatedTable = amx::make_table<EmulatedTiles>("amx_emulated");

constinit const KernelTable kAvx512SharingTable = sharing_table();

}  // namespace turgo
