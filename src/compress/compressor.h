// One pass over a model, a layer at a time: watch the layer's inputs, solve its matrices, hand the result on.
// AWQ and smoothing see every layer's inputs as the original model makes them; GPTQ and pruning let the next
// layer see what the compressed one makes of them, so that it can make up for errors (as their papers do).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compress/awq.h"
#include "compress/calibration_text.h"
#include "compress/gptq.h"
#include "compress/layer_runner.h"
#include "compress/mixed_widths.h"
#include "compress/prune.h"

namespace turgo {

enum class Method : uint8_t { kRtn, kAwq, kGptq, kSmoothQuant, kMagnitude, kNeurons, kWanda, kSparseGpt };
const char* method_name(Method method);

struct Recipe {
  Method method = Method::kRtn;
  bool quantize = true;  // false: pruning alone
  QuantSpec spec;
  // > 0: each matrix gets one of kMixedWidths, this many bits on average; spec.bits then says what scales are
  // searched for, and `widths` is what was chosen, by name.
  double target_bits = 0;
  std::map<std::string, int> widths;
  AwqOptions awq;
  GptqOptions gptq;
  Sparsity sparsity;
  std::vector<float> smooth_alphas = {0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f};  // SmoothQuant tries these

  bool prunes() const { return method >= Method::kMagnitude; }
  bool needs_calibration() const {
    return method != Method::kRtn && method != Method::kMagnitude && method != Method::kNeurons;
  }
  bool feeds_compressed() const { return method == Method::kGptq || prunes(); }
};

struct LinearReport {
  std::string name;
  double relative_error = 0;  // tr(dW H dW^T) / tr(W H W^T); -1 without calibration
  int64_t num_zeros = 0;      // of pruning
  bool fell_back = false;     // GPTQ could not factor H and rounded
  double damping = 0;
};

struct CompressedLayer {
  SourceLayer layer;                      // matrices as they decode, norms with scales folded in
  std::vector<QuantizedMatrix> matrices;  // one per layer.linears(); empty without quantisation
  std::vector<LinearReport> linears;
  std::vector<AwqFold> folds;
};

class Compressor {
 public:
  Compressor(const SourceModel& source, Recipe recipe, TeamMath math)
      : source_(source), recipe_(std::move(recipe)), math_(std::move(math)) {}

  // `states` is where layer `index` begins (unused without calibration) and becomes where the next one does.
  CompressedLayer compress(int index, HiddenStates& states) const;

  // What each matrix of layer `index` costs at each of kMixedWidths. `states` as for compress(), without what
  // compression changes; `probe` likewise, of the samples that `tail` holds.
  std::vector<WidthCosts> width_costs(int index, HiddenStates& states, HiddenStates& probe,
                                      ModelTail& tail) const;

  // Bytes beyond the model's own file at the worst layer, and floating-point operations in all.
  int64_t peak_bytes(int64_t num_tokens) const;
  double operations(int64_t num_tokens) const;

 private:
  using Stats = std::array<InputStats, kNumLinearInputs>;
  Stats watch(const SourceLayer& layer, HiddenStates& states) const;
  void smooth(SourceLayer& layer, Stats& stats, const BlockLoss* block, CompressedLayer& out) const;
  // For smooth(); `states`: in front of the layer.
  std::unique_ptr<BlockLoss> block_loss(const SourceLayer& layer, const HiddenStates& states) const;
  void solve(SourceLayer& layer, const Stats& stats, CompressedLayer& out) const;
  void round(const SourceLayer& layer, const LinearMatrix& matrix, const Stats& stats,
             QuantizedMatrix& out) const;

  const SourceModel& source_;
  Recipe recipe_;
  TeamMath math_;
};

// Which input a matrix of `layer` reads.
LinearInput input_of(const SourceLayer& layer, const LinearMatrix& matrix);

}  // namespace turgo
