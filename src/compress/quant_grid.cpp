#include "compress/quant_grid.h"

#include "core/dtype.h"
#include "core/error.h"

namespace turgo {

GroupGrid fit_grid(const float* w, int64_t n, const QuantSpec& spec, float shrink) {
  constexpr int64_t kLanes = 8;
  float lows[kLanes] = {}, highs[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l) {
      lows[l] = std::min(lows[l], w[i + l]);
      highs[l] = std::max(highs[l], w[i + l]);
    }
  for (; i < n; ++i) lows[0] = std::min(lows[0], w[i]), highs[0] = std::max(highs[0], w[i]);
  const float low = *std::min_element(lows, lows + kLanes) * shrink,
              high = *std::max_element(highs, highs + kLanes) * shrink;
  if (spec.e4m3) return {to_f32(to_bf16(std::max(std::max(-low, high) / kE4m3Max, 0x1p-100f))), 0};
  const auto top = static_cast<float>(spec.max_code());
  const float range = spec.symmetric ? 2 * std::max(-low, high) : high - low;
  GroupGrid grid;
  // The smallest normal f16: below, a scale loses bits, and weights that small do not matter.
  grid.scale = to_f32(to_f16(std::clamp(range / top, 0x1p-14f, 65504.0f)));
  grid.zero = spec.symmetric
                  ? 1 << (spec.bits - 1)
                  : std::clamp(static_cast<int32_t>(std::nearbyint(-low / grid.scale)), 0, spec.max_code());
  return grid;
}

QuantizedMatrix::QuantizedMatrix(int64_t rows, int64_t columns, const QuantSpec& s)
    : n(rows),
      k(columns),
      spec(s),
      codes(static_cast<size_t>(rows * columns)),
      grids(static_cast<size_t>(rows * s.groups(columns))) {
  CHECK(columns % s.group_of(columns) == 0, "{} columns, groups of {}", columns, s.group_of(columns));
}

void QuantizedMatrix::decode_row(int64_t row, float* out) const {
  const int64_t size = spec.group_of(k);
  for (int64_t g = 0; g < spec.groups(k); ++g) {
    const GroupGrid& one = grid(row, g);
    for (int64_t j = g * size; j < (g + 1) * size; ++j) {
      const uint8_t code = codes[static_cast<size_t>(row * k + j)];
      out[j] = spec.e4m3 ? one.scale * to_f32(e4m3{code}) : one.decode(code);
    }
  }
}

void quantize_row_to_nearest(const float* w, int64_t row, QuantizedMatrix& out, bool keep_grids) {
  const int64_t size = out.spec.group_of(out.k);
  for (int64_t g = 0; g < out.spec.groups(out.k); ++g) {
    GroupGrid& grid = out.grid(row, g);
    if (!keep_grids) grid = fit_grid(w + g * size, size, out.spec);
    for (int64_t j = g * size; j < (g + 1) * size; ++j)
      out.codes[static_cast<size_t>(row * out.k + j)] =
          out.spec.e4m3 ? to_e4m3(w[j] / grid.scale).bits
                        : static_cast<uint8_t>(grid.encode(w[j], out.spec.max_code()));
  }
}

int64_t common_group_size(const std::vector<int64_t>& ks, int64_t asked) {
  for (int64_t size = asked; size >= 8; size /= 2)
    if (std::ranges::all_of(ks, [&](int64_t k) { return k % size == 0; })) return size;
  return 0;
}

}  // namespace turgo
