#include "compress/gptq.h"

#include <algorithm>
#include <numeric>

#include "compress/awq.h"
#include "core/error.h"

namespace turgo {
namespace {

constexpr int kMaxDampingSteps = 12;  // each doubles lambda: 0.01 becomes 41
constexpr int64_t kBlock = 128;       // columns whose errors are taken up at once

}  // namespace

void take_up(const float* error, int64_t error_stride, int64_t begin, int64_t end, int64_t k, int64_t rows,
             const std::vector<float>& u, float* w) {
  for (int64_t p = begin; p < end; ++p) {
    const float* from = u.data() + p * k;
    for (int64_t i = 0; i < rows; ++i) {
      const float e = error[i * error_stride + p - begin];
      if (e == 0) continue;
      float* row = w + i * k;
      for (int64_t t = end; t < k; ++t) row[t] -= e * from[t];
    }
  }
}

SolveOrder factor_hessian(const InputStats& stats, bool by_diagonal, double damping, const TeamMath& math) {
  const int64_t k = stats.k;
  SolveOrder solve;
  solve.order.resize(static_cast<size_t>(k));
  std::iota(solve.order.begin(), solve.order.end(), 0);
  solve.dead.resize(static_cast<size_t>(k));
  double mean = 0;
  for (int64_t j = 0; j < k; ++j) {
    solve.dead[static_cast<size_t>(j)] = stats.h_at(j, j) <= 0;
    mean += static_cast<double>(stats.h_at(j, j)) / static_cast<double>(k);
  }
  if (by_diagonal)
    std::stable_sort(solve.order.begin(), solve.order.end(),
                     [&](int64_t a, int64_t b) { return stats.h_at(a, a) > stats.h_at(b, b); });
  std::vector<double> a(static_cast<size_t>(k * k));
  for (int step = 0; step <= kMaxDampingSteps; ++step, damping *= 2) {
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = i; j < k; ++j) {
        const int64_t from = solve.order[static_cast<size_t>(i)], to = solve.order[static_cast<size_t>(j)];
        double value = static_cast<double>(stats.h_at(from, to));
        if (i == j) value = (solve.dead[static_cast<size_t>(from)] ? 1.0 : value) + damping * mean;
        a[static_cast<size_t>(i * k + j)] = value;
      }
    if (mean > 0 && math.inverse_factor(a, k, solve.u)) {
      solve.damping = damping;
      return solve;
    }
  }
  solve.damping = -1;
  return solve;
}

bool gptq(const LinearMatrix& m, const SolveOrder& solve, const InputStats& stats, const GptqOptions& o,
          QuantizedMatrix& out, const TeamMath& math) {
  const int64_t k = m.k, size = out.spec.group_of(k);
  const int max_code = out.spec.max_code();
  // Grids of the updated weights, found as a group begins: no group reaches past the block that it begins in.
  const bool updated_grids = !o.act_order && !o.clip && (kBlock % size == 0 || size == k);
  if (o.clip) {
    clip_grids(m, stats, out, math);
  } else {
    math.for_each(m.n, [&](int64_t r) {
      for (int64_t g = 0; g < k; g += size)
        out.grid(r, g / size) = fit_grid(m.weight.data() + r * k + g, size, out.spec);
    });
  }
  if (solve.damping < 0) {
    round_matrix(m, out, true, math);
    return false;
  }
  constexpr int64_t kRows = 8;  // walk U together: it is read from memory once for all of them
  math.for_each((m.n + kRows - 1) / kRows, [&](int64_t tile) {
    const int64_t first = tile * kRows, rows = std::min(kRows, m.n - first);
    std::vector<float> w(static_cast<size_t>(rows * k)), error(static_cast<size_t>(rows * kBlock));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t p = 0; p < k; ++p) {
        const auto column = static_cast<size_t>(solve.order[static_cast<size_t>(p)]);
        w[static_cast<size_t>(i * k + p)] =
            solve.dead[column] ? 0 : m.weight[static_cast<size_t>((first + i) * k) + column];
      }
    for (int64_t begin = 0; begin < k; begin += kBlock) {
      const int64_t end = std::min(begin + kBlock, k);
      for (int64_t i = 0; i < rows; ++i) {
        float *row = w.data() + i * k, *e = error.data() + i * kBlock;
        for (int64_t p = begin; p < end; ++p) {
          const int64_t column = solve.order[static_cast<size_t>(p)];
          GroupGrid& grid = out.grid(first + i, column / size);
          if (updated_grids && column % size == 0) grid = fit_grid(row + p, size, out.spec);
          const float* u = solve.u.data() + p * k;
          const int32_t code = grid.encode(row[p], max_code);
          out.codes[static_cast<size_t>((first + i) * k + column)] = static_cast<uint8_t>(code);
          e[p - begin] = (row[p] - grid.decode(code)) / u[p];
          for (int64_t t = p + 1; t < end; ++t) row[t] -= e[p - begin] * u[t];
        }
      }
      take_up(error.data(), kBlock, begin, end, k, rows, solve.u, w.data());
    }
  });
  return true;
}

}  // namespace turgo
