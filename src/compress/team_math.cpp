#include "compress/team_math.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

constexpr int64_t kGramBlock = 512;  // columns; a multiple of every group size
constexpr int64_t kFactorBlock = 64;

std::shared_ptr<std::byte> aligned_bytes(int64_t size) {
  size_t rounded = static_cast<size_t>((size + kPackedAlign - 1) / kPackedAlign * kPackedAlign);
  auto* p =
      static_cast<std::byte*>(std::aligned_alloc(kPackedAlign, std::max<size_t>(rounded, kPackedAlign)));
  if (!p) fail(ErrorCode::kResourceExhausted, "cannot allocate {} bytes for a layer's statistics", size);
  return {p, [](std::byte* q) { std::free(q); }};
}

// x^T: [k][rows] of columns [begin, end) of x [rows][stride].
void transpose(const float* x, int64_t rows, int64_t stride, int64_t begin, int64_t end, float* out) {
  for (int64_t r0 = 0; r0 < rows; r0 += 16)
    for (int64_t j = begin; j < end; ++j)
      for (int64_t r = r0; r < std::min(r0 + 16, rows); ++r) out[(j - begin) * rows + r] = x[r * stride + j];
}

}  // namespace

double dot(const float* x, const float* y, int64_t n) {
  constexpr int64_t kLanes = 4;  // one chain of additions would bound the speed
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int64_t l = 0; l < kLanes; ++l)
      sum[l] += static_cast<double>(x[i + l]) * static_cast<double>(y[i + l]);
  for (; i < n; ++i) sum[0] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

PackedMatrix::PackedMatrix(const float* rows, int64_t n, int64_t k, int64_t stride, ThreadTeam& team)
    : data_(aligned_bytes(packed_bytes(DType::kF32, n, k))), weight_{DType::kF32, n, k, data_.get()} {
  std::byte* to = data_.get();
  team.run([&](int rank) {
    Range r = split_range(num_panels(n), team.size(), rank);
    pack_weight(DType::kF32, rows, stride * 4, n, k, r.begin, r.end, to);
  });
}

void TeamMath::for_each(int64_t n, const std::function<void(int64_t)>& f) const {
  std::atomic<int64_t> next{0};
  team_->run([&](int) {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) f(i);
  });
}

void TeamMath::multiply(const float* x, int64_t x_stride, int64_t m, const PackedMatrix& b, float* y) const {
  const PackedWeight& w = b.weight();
  auto activations = aligned_bytes(kernels_->activation_bytes(Precision::kF32, m, w.k));
  int64_t tile = kernels_->activation_tile(Precision::kF32);
  team_->run([&](int rank) {
    Range tiles = split_range((m + tile - 1) / tile, team_->size(), rank);
    kernels_->pack_activations(Precision::kF32, x, x_stride, m, w.k, tiles.begin, tiles.end,
                               activations.get());
    team_->barrier();
    Range panels = split_range(num_panels(w.n), team_->size(), rank);
    if (panels.begin == panels.end) return;
    GemmArgs args;
    args.weight = w;
    args.precision = Precision::kF32;
    args.activations = activations.get();
    args.m = m;
    args.panel_begin = panels.begin;
    args.panel_end = panels.end;
    args.y = y;
    args.y_stride = w.n;
    kernels_->gemm(args);
  });
}

void TeamMath::multiply_alone(const float* x, int64_t m, const PackedMatrix& b, float* y) const {
  const PackedWeight& w = b.weight();
  auto activations = aligned_bytes(kernels_->activation_bytes(Precision::kF32, m, w.k));
  const int64_t tile = kernels_->activation_tile(Precision::kF32);
  kernels_->pack_activations(Precision::kF32, x, w.k, m, w.k, 0, (m + tile - 1) / tile, activations.get());
  GemmArgs args;
  args.weight = w;
  args.precision = Precision::kF32;
  args.activations = activations.get();
  args.m = m;
  args.panel_end = num_panels(w.n);
  args.y = y;
  args.y_stride = w.n;
  kernels_->gemm(args);
}

void TeamMath::add_gram(const float* x, int64_t rows, int64_t k, float* gram, bool diagonal_only) const {
  if (rows == 0) return;
  const int64_t num_blocks = (k + kGramBlock - 1) / kGramBlock;
  const int64_t tile = kernels_->activation_tile(Precision::kF32);
  struct Block {
    int64_t begin, size;
    std::shared_ptr<std::byte> weight, activations;
  };
  std::vector<Block> blocks(static_cast<size_t>(num_blocks));
  for (int64_t b = 0; b < num_blocks; ++b) {
    Block& block = blocks[static_cast<size_t>(b)];
    block.begin = b * kGramBlock;
    block.size = std::min(kGramBlock, k - block.begin);
    block.weight = aligned_bytes(packed_bytes(DType::kF32, block.size, rows));
    block.activations = aligned_bytes(kernels_->activation_bytes(Precision::kF32, block.size, rows));
  }
  for_each(num_blocks, [&](int64_t b) {
    Block& block = blocks[static_cast<size_t>(b)];
    std::vector<float> columns(static_cast<size_t>(block.size * rows));
    transpose(x, rows, k, block.begin, block.begin + block.size, columns.data());
    pack_weight(DType::kF32, columns.data(), rows * 4, block.size, rows, 0, num_panels(block.size),
                block.weight.get());
    kernels_->pack_activations(Precision::kF32, columns.data(), rows, block.size, rows, 0,
                               (block.size + tile - 1) / tile, block.activations.get());
  });
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (int64_t i = 0; i < num_blocks; ++i)
    for (int64_t j = i; j < (diagonal_only ? i + 1 : num_blocks); ++j) pairs.emplace_back(i, j);
  constexpr int64_t kSlices = 4;  // of a pair's panels: so that few blocks still balance
  for_each(static_cast<int64_t>(pairs.size()) * kSlices, [&](int64_t item) {
    auto [i, j] = pairs[static_cast<size_t>(item / kSlices)];
    const Block &left = blocks[static_cast<size_t>(i)], &right = blocks[static_cast<size_t>(j)];
    Range panels = split_range(num_panels(right.size), kSlices, item % kSlices);
    if (panels.begin == panels.end) return;
    GemmArgs args;
    args.weight = {DType::kF32, right.size, rows, right.weight.get()};
    args.precision = Precision::kF32;
    args.activations = left.activations.get();
    args.m = left.size;
    args.panel_begin = panels.begin;
    args.panel_end = panels.end;
    args.y = gram + left.begin * k + right.begin;
    args.y_stride = k;
    args.accumulate = true;
    kernels_->gemm(args);
  });
}

void TeamMath::mirror(float* gram, int64_t k) const {
  for_each(k, [&](int64_t i) {
    for (int64_t j = 0; j < i; ++j) gram[i * k + j] = gram[j * k + i];
  });
}

// Blocked from the last block of columns to the first: a[i][j] -= sum over done blocks of r[i][t] r[j][t].
bool TeamMath::inverse_factor(std::vector<double>& a, int64_t k, std::vector<float>& u) const {
  auto at = [&](int64_t i, int64_t j) -> double& { return a[static_cast<size_t>(i * k + j)]; };
  for (int64_t end = k; end > 0;) {
    const int64_t begin = std::max<int64_t>(0, end - kFactorBlock);
    // The diagonal block, column by column from the right.
    for (int64_t j = end; j-- > begin;) {
      double d = at(j, j);
      for (int64_t t = j + 1; t < end; ++t) d -= at(j, t) * at(j, t);
      if (!(d > 0) || !std::isfinite(d)) return false;
      at(j, j) = std::sqrt(d);
      for (int64_t i = begin; i < j; ++i) {
        double s = at(i, j);
        for (int64_t t = j + 1; t < end; ++t) s -= at(i, t) * at(j, t);
        at(i, j) = s / at(j, j);
      }
    }
    // Rows above: solve against the block, then take its products off what is left of it.
    for_each(begin, [&](int64_t i) {
      for (int64_t j = end; j-- > begin;) {
        double s = at(i, j);
        for (int64_t t = j + 1; t < end; ++t) s -= at(i, t) * at(j, t);
        at(i, j) = s / at(j, j);
      }
    });
    for_each(begin, [&](int64_t i) {
      for (int64_t j = i; j < begin; ++j) {
        const double *x = &at(i, begin), *y = &at(j, begin);
        double part[4] = {};  // four sums: one chain of additions would bound the speed
        int64_t t = 0;
        for (; t + 4 <= end - begin; t += 4)
          for (int64_t l = 0; l < 4; ++l) part[l] += x[t + l] * y[t + l];
        for (; t < end - begin; ++t) part[0] += x[t] * y[t];
        at(i, j) -= (part[0] + part[1]) + (part[2] + part[3]);
      }
    });
    end = begin;
  }
  // U = R^-1, row by row of U: u[i][j] = -(sum over t in [i, j) of u[i][t] r[t][j]) / r[j][j]; as axpys.
  u.assign(static_cast<size_t>(k * k), 0);
  for_each(k, [&](int64_t i) {
    std::vector<double> sum(static_cast<size_t>(k), 0);
    for (int64_t t = i; t < k; ++t) {
      const double value = (t == i ? 1.0 : -sum[static_cast<size_t>(t)]) / at(t, t);
      u[static_cast<size_t>(i * k + t)] = static_cast<float>(value);
      const double* r = &at(t, 0);
      for (int64_t j = t + 1; j < k; ++j) sum[static_cast<size_t>(j)] += value * r[j];
    }
  });
  return true;
}

}  // namespace turgo
