// Integers with a scale and a zero per group: the grid of AWQ, GPTQ, compressed-tensors and GGUF's Q4_0, Q4_1
// and Q8_0.   w' = scale * (code - zero),  0 <= code < 2^bits,  zero an integer of the same range.
// Scales are rounded to f16 before codes are chosen, so that what is optimised is what is stored.
//   symmetric   scale = 2 max|w| / (2^bits - 1), zero = 2^(bits - 1)        (GPTQ, compressed-tensors)
//   asymmetric  scale = (max - min) / (2^bits - 1) over a range that holds 0, zero = round(-min / scale)
// Or floats of 8 bits (e4m3) with a scale of max|w| / 448 in bf16: the code is the float's byte, zero is 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace turgo {

struct QuantSpec {
  int bits = 4;
  int64_t group_size = 128;  // along k; -1: one group per row
  bool symmetric = false;
  bool e4m3 = false;  // 8 bits, symmetric

  int64_t group_of(int64_t k) const { return group_size < 0 ? k : group_size; }
  int64_t groups(int64_t k) const { return k / group_of(k); }
  int max_code() const { return (1 << bits) - 1; }
  double bits_per_weight(
      int64_t k) const {  // with an f16 scale and, if asymmetric, a zero of `bits` per group
    return bits + (16.0 + (symmetric ? 0 : bits)) / static_cast<double>(group_of(k));
  }
};

struct GroupGrid {
  float scale = 1;
  int32_t zero = 0;

  // The integer that `w` becomes, zero taken off. Half to even, as numpy and torch round: adding 1.5 * 2^23
  // does it without a call, so that compilers vectorise loops over it.
  float step_of(float w, int max_code) const {
    const auto low = static_cast<float>(-zero), high = static_cast<float>(max_code - zero);
    float x = w / scale;
    x = x < low ? low : x;
    x = x > high ? high : x;
    return (x + 12582912.0f) - 12582912.0f;
  }
  int32_t encode(float w, int max_code) const { return static_cast<int32_t>(step_of(w, max_code)) + zero; }
  float decode(int32_t code) const { return scale * static_cast<float>(code - zero); }
  // decode(encode(w)).
  float rounded(float w, int max_code) const { return scale * step_of(w, max_code); }
};

// The grid of a group of n weights; `shrink` < 1 clips its range.
GroupGrid fit_grid(const float* w, int64_t n, const QuantSpec& spec, float shrink = 1);

struct QuantizedMatrix {
  int64_t n = 0, k = 0;
  QuantSpec spec;
  std::vector<uint8_t> codes;    // [n][k]
  std::vector<GroupGrid> grids;  // [n][groups]

  QuantizedMatrix() = default;
  QuantizedMatrix(int64_t n, int64_t k, const QuantSpec& spec);
  GroupGrid& grid(int64_t row, int64_t group) {
    return grids[static_cast<size_t>(row * spec.groups(k) + group)];
  }
  const GroupGrid& grid(int64_t row, int64_t group) const {
    return grids[static_cast<size_t>(row * spec.groups(k) + group)];
  }
  void decode_row(int64_t row, float* out) const;
};

// Round to nearest: the baseline of everything. `grids` of the result may be given beforehand (clipped ones).
void quantize_row_to_nearest(const float* w, int64_t row, QuantizedMatrix& out, bool keep_grids = false);

// The largest of 128, 64, 32 … that is at most `asked` and divides every k; 0 if there is none of at least 8.
int64_t common_group_size(const std::vector<int64_t>& ks, int64_t asked);

}  // namespace turgo
