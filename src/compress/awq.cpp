#include "compress/awq.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "core/error.h"

namespace turgo {
namespace {

struct ScaleGroup {
  std::string what;
  LinearInput input;
  std::vector<LinearMatrix*> consumers;
  // Divides what produces the input by s.
  std::function<void(const std::vector<float>&)> fold;
  // Input channels that must share a scale: channel j takes the scale of share[j]; empty = each its own.
  std::vector<int64_t> share;
};

void divide(std::vector<float>& values, const std::vector<float>& s) {
  for (size_t i = 0; i < values.size(); ++i) values[i] /= s[i];
}

void divide_rows(LinearMatrix& m, const std::vector<float>& s) {
  for (int64_t r = 0; r < m.n; ++r) {
    const float by = s[static_cast<size_t>(r)];
    for (int64_t j = 0; j < m.k; ++j) m.weight[static_cast<size_t>(r * m.k + j)] /= by;
    if (!m.bias.empty()) m.bias[static_cast<size_t>(r)] /= by;
  }
}

std::vector<ScaleGroup> scale_groups(SourceLayer& l) {
  std::vector<ScaleGroup> groups;
  if (l.q && !l.input_norm.empty())
    groups.push_back({"input_norm -> q, k, v",
                      LinearInput::kQkv,
                      {&l.q, &l.k, &l.v},
                      [&l](const std::vector<float>& s) { divide(l.input_norm, s); },
                      {}});
  if (l.o) {
    ScaleGroup g{"v -> o", LinearInput::kO, {&l.o}, nullptr, {}};
    const int64_t dim = l.config.head_dim, per_kv = l.config.num_heads / l.config.num_kv_heads;
    g.share.resize(static_cast<size_t>(l.o.k));  // head h reads kv head h / per_kv
    for (int64_t j = 0; j < l.o.k; ++j)
      g.share[static_cast<size_t>(j)] = j / dim / per_kv * per_kv * dim + j % dim;
    g.fold = [&l, dim, per_kv](const std::vector<float>& s) {
      std::vector<float> of_v(static_cast<size_t>(l.v.n));
      for (int64_t r = 0; r < l.v.n; ++r)
        of_v[static_cast<size_t>(r)] = s[static_cast<size_t>(r / dim * per_kv * dim + r % dim)];
      divide_rows(l.v, of_v);
    };
    groups.push_back(std::move(g));
  }
  if (l.up && !l.pre_mlp_norm.empty())
    groups.push_back({"pre_mlp_norm -> gate, up",
                      LinearInput::kGateUp,
                      {&l.gate, &l.up},
                      [&l](const std::vector<float>& s) { divide(l.pre_mlp_norm, s); },
                      {}});
  if (l.down && l.up)
    groups.push_back({"up -> down",
                      LinearInput::kDown,
                      {&l.down},
                      [&l](const std::vector<float>& s) { divide_rows(l.up, s); },
                      {}});
  for (ScaleGroup& g : groups) std::erase_if(g.consumers, [](const LinearMatrix* m) { return !*m; });
  return groups;
}

// mean over rows of |w| / its group's max: the v2 formula's picture of the weights. [k]
std::vector<float> weight_means(const std::vector<LinearMatrix*>& matrices, const QuantSpec& spec) {
  const int64_t k = matrices.front()->k, size = spec.group_of(k);
  std::vector<double> sum(static_cast<size_t>(k), 0);
  int64_t rows = 0;
  for (const LinearMatrix* m : matrices) {
    rows += m->n;
    for (int64_t r = 0; r < m->n; ++r)
      for (int64_t g = 0; g < k; g += size) {
        const float* w = m->weight.data() + r * k + g;
        float top = 1e-6f;
        for (int64_t j = 0; j < size; ++j) top = std::max(top, std::fabs(w[j]));
        for (int64_t j = 0; j < size; ++j)
          sum[static_cast<size_t>(g + j)] += static_cast<double>(std::fabs(w[j]) / top);
      }
  }
  std::vector<float> mean(sum.size());
  for (size_t j = 0; j < sum.size(); ++j) mean[j] = static_cast<float>(sum[j] / static_cast<double>(rows));
  return mean;
}

std::vector<float> shared(const std::vector<float>& values, const std::vector<int64_t>& share) {
  if (share.empty()) return values;
  std::vector<double> sum(values.size(), 0), count(values.size(), 0);
  for (size_t j = 0; j < values.size(); ++j) {
    sum[static_cast<size_t>(share[j])] += static_cast<double>(values[j]);
    count[static_cast<size_t>(share[j])] += 1;
  }
  std::vector<float> out(values.size());
  for (size_t j = 0; j < values.size(); ++j)
    out[j] = static_cast<float>(sum[static_cast<size_t>(share[j])] / count[static_cast<size_t>(share[j])]);
  return out;
}

// Q(W s) / s of one row: d [k].
void round_smoothed(const LinearMatrix& m, int64_t row, const std::vector<float>& s, const QuantSpec& spec,
                    float* d) {
  const int64_t k = m.k, size = spec.group_of(k);
  const int max_code = spec.max_code();
  const float* scale = s.data();
  const float* w = m.weight.data() + row * k;
  for (int64_t j = 0; j < k; ++j) d[j] = w[j] * scale[j];
  for (int64_t g = 0; g < k; g += size) {
    const GroupGrid grid = fit_grid(d + g, size, spec);
    for (int64_t j = g; j < g + size; ++j) d[j] = grid.rounded(d[j], max_code) / scale[j];
  }
}

// Sum over the consumers of tr(dW H dW^T), dW = Q(W s) / s - W; with max_rows > 0 an estimate from that many
// rows of each, evenly spread.
double smoothed_error(const ScaleGroup& group, const std::vector<float>& s, const QuantSpec& spec,
                      const ErrorMeter& error, const TeamMath& math, int64_t max_rows = 0) {
  double loss = 0;
  for (const LinearMatrix* m : group.consumers) {
    const int64_t k = m->k;
    const int64_t stride = max_rows > 0 ? std::max<int64_t>(1, m->n / max_rows) : 1;
    const int64_t rows = (m->n + stride - 1) / stride;
    std::vector<float> delta(static_cast<size_t>(rows * k));
    math.for_each(rows, [&](int64_t r) {
      const float* w = m->weight.data() + r * stride * k;
      float* d = delta.data() + r * k;
      round_smoothed(*m, r * stride, s, spec, d);
      for (int64_t j = 0; j < k; ++j) d[j] -= w[j];
    });
    loss += error(delta, rows) * static_cast<double>(m->n) / static_cast<double>(rows);
  }
  return loss;
}

// The same of a block's answers.
double block_error(const SourceLayer& layer, const ScaleGroup& group, const std::vector<float>& s,
                   const QuantSpec& spec, const BlockLoss& block, const TeamMath& math) {
  SourceLayer changed = layer;
  const auto from = layer.linears();
  const auto to = changed.linears();
  for (size_t i = 0; i < from.size(); ++i)
    if (std::ranges::find(group.consumers, from[i]) != group.consumers.end())
      math.for_each(from[i]->n, [&](int64_t r) {
        round_smoothed(*from[i], r, s, spec, to[i]->weight.data() + r * from[i]->k);
      });
  return block(changed, group.input);
}

std::vector<float> power_scale(const std::vector<float>& x, const std::vector<float>& w, float ratio,
                               bool duo) {
  std::vector<float> s(x.size());
  for (size_t j = 0; j < x.size(); ++j)
    s[j] = std::pow(std::max(x[j], 1e-8f), ratio) / (duo ? std::pow(w[j] + 1e-4f, 1 - ratio) : 1.0f);
  return centred_scale(std::move(s));
}

}  // namespace

std::vector<float> column_absmax(const std::vector<LinearMatrix*>& matrices) {
  std::vector<float> top(static_cast<size_t>(matrices.front()->k), 0);
  for (const LinearMatrix* m : matrices)
    for (int64_t r = 0; r < m->n; ++r)
      for (int64_t j = 0; j < m->k; ++j)
        top[static_cast<size_t>(j)] =
            std::max(top[static_cast<size_t>(j)], std::fabs(m->weight[static_cast<size_t>(r * m->k + j)]));
  return top;
}

void multiply_columns(LinearMatrix& m, const std::vector<float>& s) {
  for (int64_t r = 0; r < m.n; ++r)
    for (int64_t j = 0; j < m.k; ++j) m.weight[static_cast<size_t>(r * m.k + j)] *= s[static_cast<size_t>(j)];
}

std::vector<float> centred_scale(std::vector<float> s) {
  float low = INFINITY, high = 0;
  for (float& x : s) {
    if (!std::isfinite(x) || x <= 0) x = 0;
    if (x > 0) low = std::min(low, x), high = std::max(high, x);
  }
  if (high == 0) return std::vector<float>(s.size(), 1);
  const float centre = std::sqrt(low) * std::sqrt(high);
  for (float& x : s) x = x > 0 ? std::clamp(x / centre, 1e-4f, 1e4f) : 1;
  return s;
}

std::vector<AwqFold> smooth_layer(SourceLayer& layer, std::array<InputStats, kNumLinearInputs>& stats,
                                  const QuantSpec& spec, const AwqOptions& o, const BlockLoss* block,
                                  const TeamMath& math) {
  std::vector<AwqFold> report;
  for (ScaleGroup& group : scale_groups(layer)) {
    InputStats& input = stats[static_cast<size_t>(group.input)];
    if (input.k == 0) continue;
    const ErrorMeter error(input, math);
    const bool by_block = block && (group.input == LinearInput::kQkv || group.input == LinearInput::kGateUp);
    auto loss_of = [&](const std::vector<float>& s, int64_t max_rows = 0) {
      return by_block ? block_error(layer, group, s, spec, *block, math)
                      : smoothed_error(group, s, spec, error, math, max_rows);
    };
    AwqFold fold{group.what, 0, 0, 0};
    std::vector<float> best(static_cast<size_t>(input.k), 1);
    fold.loss_before = fold.loss_after = loss_of(best);
    if (o.lmdeploy_smoothing) {
      std::vector<float> s = power_scale(shared(input.absmax, group.share),
                                         shared(column_absmax(group.consumers), group.share), o.alpha, true);
      fold.loss_after = loss_of(s);
      fold.ratio = o.alpha;
      best = std::move(s);
    } else {
      const auto x = shared(input.absmean, group.share),
                 w = shared(weight_means(group.consumers, spec), group.share);
      auto scale_of = [&](int point, bool duo) {
        return power_scale(x, w, static_cast<float>(point) / static_cast<float>(o.grid_points), duo);
      };
      int best_point = 0;
      bool best_duo = false;
      double least = INFINITY;
      for (bool duo : {false, true})
        for (int point = duo ? 0 : 2; point <= o.grid_points; point += 2) {
          const double loss = loss_of(scale_of(point, duo), kSearchRows);
          if (loss < least) least = loss, best_point = point, best_duo = duo;
        }
      for (int point : {best_point, best_point - 1, best_point + 1}) {
        if (point < 0 || point > o.grid_points) continue;
        std::vector<float> s = scale_of(point, best_duo);
        const double loss = loss_of(s);
        if (loss >= fold.loss_after) continue;
        fold.loss_after = loss;
        fold.ratio = static_cast<float>(point) / static_cast<float>(o.grid_points);
        best = std::move(s);
      }
    }
    group.fold(best);
    for (LinearMatrix* m : group.consumers) multiply_columns(*m, best);
    input.divide_by(best);
    report.push_back(fold);
  }
  return report;
}

void clip_grids(const LinearMatrix& m, const InputStats& stats, QuantizedMatrix& out, const TeamMath& math) {
  const int64_t k = m.k, size = out.spec.group_of(k);
  const int max_code = out.spec.max_code();
  constexpr int kSteps = 11;  // 1, 0.95 … 0.5
  constexpr int64_t kRows = 16;
  std::vector<PackedMatrix> blocks;  // of H, on its diagonal
  for (int64_t g = 0; g < k; g += size)
    blocks.emplace_back(stats.h.data() + g * k + g, size, size, k, math.team());
  math.for_each((m.n + kRows - 1) / kRows, [&](int64_t tile) {
    const int64_t first = tile * kRows, rows = std::min(kRows, m.n - first);
    std::vector<GroupGrid> grids(static_cast<size_t>(rows * kSteps));
    std::vector<float> delta(static_cast<size_t>(rows * kSteps * size)), product(delta.size());
    for (int64_t g = 0; g < k; g += size) {
      for (int64_t i = 0; i < rows * kSteps; ++i) {
        const float* w = m.weight.data() + (first + i / kSteps) * k + g;
        float* d = delta.data() + i * size;
        const GroupGrid grid = fit_grid(w, size, out.spec, 1 - 0.05f * static_cast<float>(i % kSteps));
        for (int64_t j = 0; j < size; ++j) d[j] = grid.rounded(w[j], max_code) - w[j];
        grids[static_cast<size_t>(i)] = grid;
      }
      math.multiply_alone(delta.data(), rows * kSteps, blocks[static_cast<size_t>(g / size)], product.data());
      for (int64_t r = 0; r < rows; ++r) {
        double best = INFINITY;
        for (int64_t i = r * kSteps; i < (r + 1) * kSteps; ++i) {
          const double loss = dot(delta.data() + i * size, product.data() + i * size, size);
          if (loss < best) best = loss, out.grid(first + r, g / size) = grids[static_cast<size_t>(i)];
        }
      }
    }
  });
}

void round_matrix(const LinearMatrix& m, QuantizedMatrix& out, bool keep_grids, const TeamMath& math) {
  math.for_each(m.n,
                [&](int64_t r) { quantize_row_to_nearest(m.weight.data() + r * m.k, r, out, keep_grids); });
}

}  // namespace turgo
