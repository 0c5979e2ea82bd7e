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

std::unique_ptr<BlockLoss> Compressor::block_loss(const SourceLayer& layer,
                                                  const HiddenStates& states) const {
  if (recipe_.method != Method::kAwq || !recipe_.awq.block_objective) return nullptr;
  return std::make_unique<BlockLoss>(source_.config(), math_, layer, states);
}

void Compressor::smooth(SourceLayer& layer, Stats& stats, const BlockLoss* block,
                        CompressedLayer& out) const {
  if (recipe_.method == Method::kAwq && recipe_.awq.scale)
    out.folds = smooth_layer(layer, stats, recipe_.spec, recipe_.awq, block, math_);
  if (recipe_.method == Method::kSmoothQuant)
    out.folds = smooth_quant_layer(layer, stats, recipe_.smooth_alphas, math_);
}

// To nearest, of ranges that AWQ clips first.
void Compressor::round(const SourceLayer& layer, const LinearMatrix& m, const Stats& stats,
                       QuantizedMatrix& out) const {
  const bool clip = recipe_.method == Method::kAwq && recipe_.awq.clip && &m != &layer.q && &m != &layer.k;
  if (clip) clip_grids(m, stats[static_cast<size_t>(input_of(layer, m))], out, math_);
  round_matrix(m, out, clip, math_);
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
    if (recipe_.quantize) {
      QuantSpec spec = recipe_.spec;
      if (auto width = recipe_.widths.find(m->name); width != recipe_.widths.end()) spec.bits = width->second;
      q = QuantizedMatrix(m->n, m->k, spec);
    }
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
      round(layer, *m, stats, q);
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
  const auto block = block_loss(out.layer, states);
  if (recipe_.needs_calibration()) stats = watch(out.layer, states);
  smooth(out.layer, stats, block.get(), out);
  solve(out.layer, stats, out);
  if (recipe_.needs_calibration() && recipe_.feeds_compressed())
    LayerRunner(source_.config(), math_).run(out.layer, states, {});
  return out;
}

std::vector<WidthCosts> Compressor::width_costs(int index, HiddenStates& states, HiddenStates& probe,
                                                ModelTail& tail) const {
  SourceLayer layer = source_.load_layer(index);
  const LayerRunner runner(source_.config(), math_);
  const HiddenStates before = probe;
  runner.run(layer, probe, {});
  const auto block = block_loss(layer, states);
  Stats stats = watch(layer, states);
  CompressedLayer unused;
  smooth(layer, stats, block.get(), unused);
  std::vector<WidthCosts> costs;
  for (LinearMatrix* m : layer.linears()) {
    const ErrorMeter error(stats[static_cast<size_t>(input_of(layer, *m))], math_);
    WidthCosts cost{m->name, m->n * m->k, {}};
    std::vector<float> narrowest, delta(m->weight.size());
    for (size_t w = 0; w < kMixedWidths.size(); ++w) {
      QuantSpec spec = recipe_.spec;
      spec.bits = kMixedWidths[w];
      QuantizedMatrix q(m->n, m->k, spec);
      round(layer, *m, stats, q);
      math_.for_each(m->n, [&](int64_t r) { q.decode_row(r, delta.data() + r * m->k); });
      if (w == 0) narrowest = delta;
      for (size_t i = 0; i < delta.size(); ++i) delta[i] -= m->weight[i];
      cost.loss[w] = error(delta, m->n);
    }
    std::swap(m->weight, narrowest);
    HiddenStates changed = before;
    runner.run(layer, changed, {});
    const double kl = tail.kl(index + 1, std::move(changed)), largest = cost.loss[0];
    for (double& loss : cost.loss) loss = largest > 0 ? kl * loss / largest : 0;
    std::swap(m->weight, narrowest);
    costs.push_back(std::move(cost));
  }
  return costs;
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
  if (recipe_.awq.block_objective) bytes += tokens * c.hidden_size * 4 * 5;
  if (recipe_.target_bits > 0) bytes += static_cast<int64_t>(source_.file().total_bytes());
  return bytes;
}

double Compressor::operations(int64_t num_tokens) const {
  if (!recipe_.needs_calibration()) return 0;
  const DecoderConfig& c = source_.config();
  const auto tokens = static_cast<double>(num_tokens);
  double total = 0, weights = 0;
  for (const LayerConfig& l : c.layers) {
    weights += static_cast<double>(layer_weights(c, l));
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
      // q, k, v run with o behind them, gate and up with down.
      if (recipe_.awq.block_objective && n > q) total += 25 * 2 * tokens * n * k * 1.5;
      if (recipe_.method == Method::kAwq && recipe_.awq.clip)
        total += 22 * n * k * static_cast<double>(recipe_.spec.group_of(static_cast<int64_t>(k)));
      if (recipe_.method == Method::kSmoothQuant && n > q) total += 7 * error;
      if (recipe_.method == Method::kGptq || recipe_.method == Method::kSparseGpt)
        total += n * k * k + 8 * k * k * k / 3;
      total += 2 * error;  // the report's
    }
  }
  if (recipe_.target_bits > 0) {  // everything once more, and half the layers and the head twice per matrix
    const double head = static_cast<double>(c.hidden_size) * c.vocab_size;
    total += total + 7.0 * c.num_layers() * 2 * static_cast<double>(kProbeTokens) * (weights / 2 + 2 * head);
  }
  return total;
}

}  // namespace turgo
