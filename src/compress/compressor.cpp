#include "compress/compressor.h"

#include <algorithm>
#include <cmath>

#include "compress/smooth_quant.h"
#include "core/error.h"

namespace turgo {
namespace {

int64_t widest_input(const DecoderConfig& c, bool sum_of_squares) {
  int64_t worst = 0;
  for (const LayerConfig& l : c.layers) {
    const int64_t heads = int64_t{l.num_heads} * l.head_dim, hidden = c.hidden_size,
                  width = l.intermediate_size;
    worst = std::max(worst, sum_of_squares ? 2 * hidden * hidden + heads * heads + width * width
                                           : std::max({hidden, heads, width}));
  }
  return worst;
}

int64_t layer_weights(const DecoderConfig& c, const LayerConfig& l) {
  const int64_t q = int64_t{l.num_heads} * l.head_dim, kv = int64_t{l.num_kv_heads} * l.head_dim;
  return c.hidden_size * (2 * q + 2 * kv + 3 * int64_t{l.intermediate_size});
}

// Error of each matrix against what it was, relative to its output's energy.
double relative_error(const LinearMatrix& now, const std::vector<float>& before, const ErrorMeter& error) {
  std::vector<float> delta(before.size());
  for (size_t i = 0; i < delta.size(); ++i) delta[i] = now.weight[i] - before[i];
  const double energy = error(before, now.n);
  return energy > 0 ? error(delta, now.n) / energy : 0;
}

}  // namespace

const char* method_name(Method method) {
  constexpr const char* kNames[] = {"rtn",       "awq",     "gptq",  "smooth_quant",
                                    "magnitude", "neurons", "wanda", "sparsegpt"};
  return kNames[static_cast<int>(method)];
}

LinearInput input_of(const SourceLayer& l, const LinearMatrix& m) {
  if (&m == &l.o) return LinearInput::kO;
  if (&m == &l.gate || &m == &l.up) return LinearInput::kGateUp;
  return &m == &l.down ? LinearInput::kDown : LinearInput::kQkv;
}

Compressor::Stats Compressor::watch(const SourceLayer& layer, HiddenStates& states) const {
  StatsCollector collector(math_,
                           recipe_.feeds_compressed() ? HessianNeed::kWhole : HessianNeed::kBlocksWhereWide,
                           states.num_tokens());
  LayerRunner runner(source_.config(), math_);
  if (recipe_.feeds_compressed()) {
    HiddenStates unused = states;
    runner.run(layer, unused, collector.watcher());
  } else {
    runner.run(layer, states, collector.watcher());
  }
  return collector.finish();
}

void Compressor::smooth(SourceLayer& layer, Stats& stats, CompressedLayer& out) const {
  if (recipe_.method == Method::kAwq && recipe_.awq.scale)
    out.folds = smooth_layer(layer, stats, recipe_.spec, recipe_.awq, math_);
  if (recipe_.method == Method::kSmoothQuant)
    out.folds = smooth_quant_layer(layer, stats, recipe_.smooth_alphas, math_);
}

void Compressor::solve(SourceLayer& layer, const Stats& stats, CompressedLayer& out) const {
  std::array<SolveOrder, kNumLinearInputs> solves;
  if (recipe_.method == Method::kGptq || recipe_.method == Method::kSparseGpt)
    for (size_t i = 0; i < solves.size(); ++i)
      if (stats[i].k > 0)
        solves[i] = factor_hessian(stats[i], recipe_.method == Method::kGptq && recipe_.gptq.act_order,
                                   recipe_.gptq.damping, math_);
  for (LinearMatrix* m : layer.linears()) {
    const auto input = static_cast<size_t>(input_of(layer, *m));
    LinearReport report;
    report.name = m->name;
    const std::vector<float> before = m->weight;
    QuantizedMatrix q;
    if (recipe_.quantize) q = QuantizedMatrix(m->n, m->k, recipe_.spec);
    if (recipe_.prunes()) {
      report.num_zeros = prune_matrix(recipe_.method == Method::kSparseGpt ? PruneMethod::kSparseGpt
                                      : recipe_.method == Method::kWanda   ? PruneMethod::kWanda
                                                                           : PruneMethod::kMagnitude,
                                      recipe_.sparsity, *m, stats[input], &solves[input],
                                      recipe_.quantize ? &q : nullptr, math_);
      report.fell_back = recipe_.method == Method::kSparseGpt && solves[input].damping < 0;
    } else if (recipe_.method == Method::kGptq) {
      report.fell_back = !gptq(*m, solves[input], stats[input], recipe_.gptq, q, math_);
    } else {
      const bool clip = recipe_.method == Method::kAwq && recipe_.awq.clip && m != &layer.q && m != &layer.k;
      if (clip) clip_grids(*m, stats[input], q, math_);
      round_matrix(*m, q, clip, math_);
    }
    report.damping = solves[input].damping;
    if (recipe_.quantize)
      math_.for_each(m->n, [&](int64_t r) { q.decode_row(r, m->weight.data() + r * m->k); });
    report.relative_error =
        stats[input].k > 0 ? relative_error(*m, before, ErrorMeter(stats[input], math_)) : -1;
    out.linears.push_back(std::move(report));
    if (recipe_.quantize) out.matrices.push_back(std::move(q));
  }
}

CompressedLayer Compressor::compress(int index, HiddenStates& states) const {
  CompressedLayer out;
  out.layer = source_.load_layer(index);
  if (recipe_.method == Method::kNeurons) {
    prune_neurons(out.layer, recipe_.sparsity.ratio, 64);
    for (const LinearMatrix* m : out.layer.linears()) out.linears.push_back({m->name, -1, 0, false, 0});
    return out;
  }
  Stats stats;
  if (recipe_.needs_calibration()) stats = watch(out.layer, states);
  smooth(out.layer, stats, out);
  solve(out.layer, stats, out);
  if (recipe_.needs_calibration() && recipe_.feeds_compressed())
    LayerRunner(source_.config(), math_).run(out.layer, states, {});
  return out;
}

int64_t Compressor::peak_bytes(int64_t tokens) const {
  const DecoderConfig& c = source_.config();
  int64_t weights = 0;
  for (const LayerConfig& l : c.layers) weights = std::max(weights, layer_weights(c, l));
  int64_t bytes = weights * 4 * 3;  // the layer, its packed copy, and the matrix under way with its error
  if (!recipe_.needs_calibration()) return bytes;
  bytes += tokens * c.hidden_size * 4 * (recipe_.feeds_compressed() ? 2 : 1);
  bytes += widest_input(c, true) * 4;
  const int64_t k = widest_input(c, false);
  bytes += k * k * (recipe_.feeds_compressed() ? 16 : 4);  // H packed, or its factors
  return bytes;
}

double Compressor::operations(int64_t num_tokens) const {
  if (!recipe_.needs_calibration()) return 0;
  const DecoderConfig& c = source_.config();
  const auto tokens = static_cast<double>(num_tokens);
  double total = 0;
  for (const LayerConfig& l : c.layers) {
    const double hidden = c.hidden_size, q = l.num_heads * l.head_dim, kv = l.num_kv_heads * l.head_dim,
                 width = l.intermediate_size;
    const double passes = recipe_.feeds_compressed() ? 2 : 1;
    total += passes * 2 * tokens * static_cast<double>(layer_weights(c, l));
    const double inputs[4][3] = {
        {hidden, q + 2 * kv, 3}, {q, hidden, 1}, {hidden, 2 * width, 2}, {width, hidden, 1}};
    for (auto [k, n, matrices] : inputs) {
      const bool sampled = !recipe_.feeds_compressed() && k > static_cast<double>(kWideInput);
      total += tokens * k * (sampled ? 512 : k);  // the upper half of H
      const double columns = sampled ? static_cast<double>(kSampleRows) : k;
      const double error = 2 * n * k * columns * (sampled ? 1 : 0.6);  // of all rows: ErrorMeter
      if (recipe_.method == Method::kAwq && recipe_.awq.scale)
        total += (4 + 21 * std::min(1.0, kSearchRows * matrices / n)) * error;
      if (recipe_.method == Method::kAwq && recipe_.awq.clip)
        total += 22 * n * k * static_cast<double>(recipe_.spec.group_of(static_cast<int64_t>(k)));
      if (recipe_.method == Method::kSmoothQuant && n > q) total += 7 * error;
      if (recipe_.method == Method::kGptq || recipe_.method == Method::kSparseGpt)
        total += n * k * k + 8 * k * k * k / 3;
      total += 2 * error;  // the report's
    }
  }
  return total;
}

}  // namespace turgo
