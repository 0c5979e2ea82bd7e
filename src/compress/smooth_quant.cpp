#include "compress/smooth_quant.h"

#include <cmath>

namespace turgo {
namespace {

constexpr QuantSpec kPerRow{8, -1, true};

struct SmoothGroup {
  const char* what;
  LinearInput input;
  std::vector<float>* norm;
  std::vector<LinearMatrix*> consumers;
};

double rounding_error(const SmoothGroup& group, const std::vector<float>& s, const InputStats& input,
                      const ErrorMeter& error, const TeamMath& math) {
  double loss = 0, weight_energy = 0;
  for (const LinearMatrix* m : group.consumers) {
    std::vector<float> delta(m->weight.size());
    std::vector<double> energy(static_cast<size_t>(m->n));
    math.for_each(m->n, [&](int64_t r) {
      const float* w = m->weight.data() + r * m->k;
      float* d = delta.data() + r * m->k;
      double sum = 0;
      for (int64_t j = 0; j < m->k; ++j) {
        d[j] = w[j] * s[static_cast<size_t>(j)];
        sum += static_cast<double>(d[j]) * static_cast<double>(d[j]);
      }
      energy[static_cast<size_t>(r)] = sum;
      const GroupGrid grid = fit_grid(d, m->k, kPerRow);
      for (int64_t j = 0; j < m->k; ++j)
        d[j] = grid.rounded(d[j], kPerRow.max_code()) / s[static_cast<size_t>(j)] - w[j];
    });
    loss += error(delta, m->n);
    for (double e : energy) weight_energy += e;
  }
  double step = 0;  // of an activation, if its token holds the largest value seen
  for (int64_t j = 0; j < input.k; ++j)
    step = std::max(
        step, static_cast<double>(input.absmax[static_cast<size_t>(j)] / s[static_cast<size_t>(j)]) / 127);
  return loss + step * step / 12 * weight_energy * static_cast<double>(input.num_tokens);
}

}  // namespace

std::vector<AwqFold> smooth_quant_layer(SourceLayer& l, std::array<InputStats, kNumLinearInputs>& stats,
                                        const std::vector<float>& alphas, const TeamMath& math) {
  std::vector<AwqFold> report;
  SmoothGroup groups[] = {
      {"input_norm -> q, k, v", LinearInput::kQkv, &l.input_norm, {&l.q, &l.k, &l.v}},
      {"pre_mlp_norm -> gate, up", LinearInput::kGateUp, &l.pre_mlp_norm, {&l.gate, &l.up}}};
  for (SmoothGroup& group : groups) {
    std::erase_if(group.consumers, [](const LinearMatrix* m) { return !*m; });
    InputStats& input = stats[static_cast<size_t>(group.input)];
    if (input.k == 0 || group.norm->empty() || group.consumers.empty()) continue;
    const std::vector<float> w = column_absmax(group.consumers);
    const ErrorMeter error(input, math);
    std::vector<float> best(static_cast<size_t>(input.k), 1);
    AwqFold fold{group.what, 0, 0, 0};
    fold.loss_before = fold.loss_after = rounding_error(group, best, input, error, math);
    for (float alpha : alphas) {
      std::vector<float> s(best.size());
      for (size_t j = 0; j < s.size(); ++j)
        s[j] = std::pow(std::max(input.absmax[j], 1e-5f), alpha) / std::pow(std::max(w[j], 1e-5f), 1 - alpha);
      s = centred_scale(std::move(s));
      const double loss = rounding_error(group, s, input, error, math);
      if (loss >= fold.loss_after) continue;
      fold.loss_after = loss;
      fold.ratio = alpha;
      best = std::move(s);
    }
    for (size_t j = 0; j < best.size(); ++j) (*group.norm)[j] /= best[j];
    for (LinearMatrix* m : group.consumers) multiply_columns(*m, best);
    input.divide_by(best);
    report.push_back(fold);
  }
  return report;
}

}  // namespace turgo
