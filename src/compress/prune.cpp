#include "compress/prune.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "core/error.h"

namespace turgo {
namespace {

constexpr int64_t kBlock = 128;

// Marks the `count` smallest of `scores`, ties by place.
void mark_smallest(const std::vector<float>& scores, int64_t count, std::vector<uint8_t>& mask) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  auto smaller = [&](int32_t a, int32_t b) {
    const float x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
    return x < y || (x == y && a < b);
  };
  count = std::clamp<int64_t>(count, 0, static_cast<int64_t>(scores.size()));
  if (count > 0) std::nth_element(order.begin(), order.begin() + count - 1, order.end(), smaller);
  mask.assign(scores.size(), 0);
  for (int64_t i = 0; i < count; ++i) mask[static_cast<size_t>(order[static_cast<size_t>(i)])] = 1;
}

// Marks the n smallest of each m scores.
void mark_n_of_m(const float* scores, int64_t k, int n, int m, uint8_t* mask) {
  for (int64_t begin = 0; begin < k; begin += m)
    for (int64_t i = 0; i < m; ++i) {
      int before = 0;
      for (int64_t j = 0; j < m; ++j)
        before += scores[begin + j] < scores[begin + i] || (scores[begin + j] == scores[begin + i] && j < i);
      mask[begin + i] = before < n;
    }
}

int64_t count_of(double ratio, int64_t total) {
  return static_cast<int64_t>(std::floor(ratio * static_cast<double>(total) + 1e-9));
}

int64_t zero_marked(LinearMatrix& m, const std::vector<uint8_t>& mask) {
  int64_t zeros = 0;
  for (size_t i = 0; i < mask.size(); ++i)
    if (mask[i]) m.weight[i] = 0, ++zeros;
  return zeros;
}

int64_t prune_by_score(const Sparsity& s, LinearMatrix& m, const std::vector<float>& column_norms,
                       bool per_row, const TeamMath& math) {
  std::vector<float> scores(m.weight.size());
  for (int64_t r = 0; r < m.n; ++r)
    for (int64_t j = 0; j < m.k; ++j) {
      const auto at = static_cast<size_t>(r * m.k + j);
      scores[at] =
          std::fabs(m.weight[at]) * (column_norms.empty() ? 1 : column_norms[static_cast<size_t>(j)]);
    }
  std::vector<uint8_t> mask(scores.size());
  if (s.m == 0 && !per_row) {
    mark_smallest(scores, count_of(s.ratio, m.n * m.k), mask);
  } else {
    math.for_each(m.n, [&](int64_t r) {
      uint8_t* out = mask.data() + r * m.k;
      if (s.m > 0) {
        mark_n_of_m(scores.data() + r * m.k, m.k, s.n, s.m, out);
      } else {
        std::vector<float> row(scores.begin() + r * m.k, scores.begin() + (r + 1) * m.k);
        std::vector<uint8_t> marked;
        mark_smallest(row, count_of(s.ratio, m.k), marked);
        std::copy(marked.begin(), marked.end(), out);
      }
    });
  }
  return zero_marked(m, mask);
}

struct Block {
  int64_t begin, end;
};

// One row of one block: choose (n:m only), zero, round, and hand the errors on inside the block.
void solve_row(const Sparsity& s, const Block& b, const SolveOrder& solve, int64_t k, float* row,
               uint8_t* mask, QuantizedMatrix* quantized, int64_t row_index, float* error) {
  for (int64_t p = b.begin; p < b.end; ++p) {
    if (s.m > 0 && p % s.m == 0) {
      std::vector<float> scores(static_cast<size_t>(s.m));
      for (int64_t j = 0; j < s.m; ++j) {
        const float x = row[p + j] / solve.u[static_cast<size_t>((p + j) * k + p + j)];
        scores[static_cast<size_t>(j)] = x * x;
      }
      mark_n_of_m(scores.data(), s.m, s.n, s.m, mask + p);
    }
    const float* u = solve.u.data() + p * k;
    float target = mask[p] ? 0 : row[p];
    if (quantized) {
      const int64_t size = quantized->spec.group_of(k);
      const GroupGrid& grid = quantized->grid(row_index, p / size);
      const int32_t code = mask[p] ? grid.zero : grid.encode(row[p], quantized->spec.max_code());
      quantized->codes[static_cast<size_t>(row_index * k + p)] = static_cast<uint8_t>(code);
      target = grid.decode(code);
    }
    const float e = (row[p] - target) / u[p];
    error[p - b.begin] = e;
    row[p] = target;
    for (int64_t t = p + 1; t < b.end; ++t) row[t] -= e * u[t];
  }
}

int64_t sparse_gpt(const Sparsity& s, LinearMatrix& m, const SolveOrder& solve, QuantizedMatrix* quantized,
                   const TeamMath& math) {
  const int64_t k = m.k;
  std::vector<uint8_t> mask(m.weight.size(), 0);
  if (quantized)
    math.for_each(m.n, [&](int64_t r) {
      const int64_t size = quantized->spec.group_of(k);
      for (int64_t g = 0; g < k; g += size)
        quantized->grid(r, g / size) = fit_grid(m.weight.data() + r * k + g, size, quantized->spec);
    });
  double kept = 0;  // what rounding the counts of blocks down left over
  for (int64_t begin = 0; begin < k; begin += kBlock) {
    const Block b{begin, std::min(begin + kBlock, k)};
    const int64_t width = b.end - b.begin;
    if (s.m == 0) {
      std::vector<float> scores(static_cast<size_t>(m.n * width));
      for (int64_t r = 0; r < m.n; ++r)
        for (int64_t p = b.begin; p < b.end; ++p) {
          const float x = m.weight[static_cast<size_t>(r * k + p)] / solve.u[static_cast<size_t>(p * k + p)];
          scores[static_cast<size_t>(r * width + p - b.begin)] = x * x;
        }
      kept += s.ratio * static_cast<double>(m.n * width);
      const int64_t count = count_of(1, static_cast<int64_t>(kept + 1e-9));
      kept -= static_cast<double>(count);
      std::vector<uint8_t> marked;
      mark_smallest(scores, count, marked);
      for (int64_t r = 0; r < m.n; ++r)
        std::copy_n(marked.begin() + r * width, width, mask.begin() + r * k + b.begin);
    }
    constexpr int64_t kRows = 8;
    math.for_each((m.n + kRows - 1) / kRows, [&](int64_t tile) {
      const int64_t first = tile * kRows, rows = std::min(kRows, m.n - first);
      std::vector<float> error(static_cast<size_t>(rows * kBlock));
      for (int64_t i = 0; i < rows; ++i)
        solve_row(s, b, solve, k, m.weight.data() + (first + i) * k, mask.data() + (first + i) * k, quantized,
                  first + i, error.data() + i * kBlock);
      take_up(error.data(), kBlock, b.begin, b.end, k, rows, solve.u, m.weight.data() + first * k);
    });
  }
  return std::count(mask.begin(), mask.end(), 1);
}

}  // namespace

Sparsity Sparsity::parse(const std::string& text) {
  Sparsity s;
  char* end = nullptr;
  const double first = std::strtod(text.c_str(), &end);
  if (end != text.c_str() && *end == '\0' && first > 0 && first < 1) {
    s.ratio = first;
    return s;
  }
  if (end != text.c_str() && *end == ':') {
    char* last = nullptr;
    const long m = std::strtol(end + 1, &last, 10);
    const auto n = static_cast<int>(first);
    if (last != end + 1 && *last == '\0' && n == first && n > 0 && m > n && m <= 32) {
      s.n = n;
      s.m = static_cast<int>(m);
      s.ratio = static_cast<double>(n) / static_cast<double>(m);
      return s;
    }
  }
  fail(ErrorCode::kInvalidArgument,
       "--sparsity {}: expected a share between 0 and 1 such as 0.5, or n:m such as 2:4", quote(text, 40));
}

int64_t prune_matrix(PruneMethod method, const Sparsity& s, LinearMatrix& m, const InputStats& stats,
                     const SolveOrder* solve, QuantizedMatrix* quantized, const TeamMath& math) {
  if (s.m > 0 && (m.k % s.m != 0 || kBlock % s.m != 0))
    fail(ErrorCode::kInvalidArgument,
         "--sparsity {}:{}: {} has {} columns; expected a multiple of {} that divides {}", s.n, s.m, m.name,
         m.k, s.m, kBlock);
  if (method == PruneMethod::kSparseGpt && solve && solve->damping >= 0)
    return sparse_gpt(s, m, *solve, quantized, math);
  std::vector<float> norms;
  if (method != PruneMethod::kMagnitude) {
    norms.resize(static_cast<size_t>(m.k));
    for (int64_t j = 0; j < m.k; ++j) norms[static_cast<size_t>(j)] = std::sqrt(stats.h_at(j, j));
  }
  int64_t zeros = prune_by_score(s, m, norms, method != PruneMethod::kMagnitude, math);
  if (quantized)
    math.for_each(m.n, [&](int64_t r) { quantize_row_to_nearest(m.weight.data() + r * m.k, r, *quantized); });
  return zeros;
}

int64_t prune_neurons(SourceLayer& l, double ratio, int64_t multiple) {
  const int64_t width = l.down.k;
  int64_t keep = (width - count_of(ratio, width)) / multiple * multiple;
  keep = std::max(keep, std::min(multiple, width));
  std::vector<float> importance(static_cast<size_t>(width));
  auto norm = [](const float* x, int64_t n, int64_t stride) {
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
      sum += static_cast<double>(x[i * stride]) * static_cast<double>(x[i * stride]);
    return std::sqrt(sum);
  };
  for (int64_t j = 0; j < width; ++j) {
    double product = norm(l.down.weight.data() + j, l.down.n, width);
    for (const LinearMatrix* m : {&l.gate, &l.up})
      if (*m) product *= norm(m->weight.data() + j * m->k, m->k, 1);
    importance[static_cast<size_t>(j)] = static_cast<float>(product);
  }
  std::vector<uint8_t> gone;
  mark_smallest(importance, width - keep, gone);
  for (LinearMatrix* m : {&l.gate, &l.up}) {
    if (!*m) continue;
    int64_t to = 0;
    for (int64_t j = 0; j < width; ++j) {
      if (gone[static_cast<size_t>(j)]) continue;
      std::copy_n(m->weight.begin() + j * m->k, m->k, m->weight.begin() + to * m->k);
      if (!m->bias.empty()) m->bias[static_cast<size_t>(to)] = m->bias[static_cast<size_t>(j)];
      ++to;
    }
    m->n = keep;
    m->weight.resize(static_cast<size_t>(keep * m->k));
    if (!m->bias.empty()) m->bias.resize(static_cast<size_t>(keep));
  }
  std::vector<float> down;
  down.reserve(static_cast<size_t>(l.down.n * keep));
  for (int64_t r = 0; r < l.down.n; ++r)
    for (int64_t j = 0; j < width; ++j)
      if (!gone[static_cast<size_t>(j)]) down.push_back(l.down.weight[static_cast<size_t>(r * width + j)]);
  l.down.weight = std::move(down);
  l.down.k = keep;
  l.config.intermediate_size = static_cast<int32_t>(keep);
  return keep;
}

}  // namespace turgo
