// AWQ (Lin et al., arXiv 2306.00978): before rounding, input channels that matter are scaled up and the scale
// is folded into what produces them; then ranges are clipped. Losses are exact over all calibration tokens,
// without a token in sight: the squared error of a linear's output is tr(dW H dW^T), that of clipping a group
// d H_gg d^T. Differences to the published code, each for quality: the identity is on the grid, so that a
// search never loses to round-to-nearest on the calibration text; both published forms of the scale compete;
// v -> o is folded under grouped-query attention with one scale per kv channel; up -> down too.
#pragma once

#include <array>

#include "compress/block_loss.h"
#include "compress/input_stats.h"
#include "compress/quant_grid.h"
#include "compress/source_model.h"
#include "compress/team_math.h"

namespace turgo {

inline constexpr int64_t kSearchRows = 256;  // of each matrix, that choose among the points of the grid

struct AwqOptions {
  bool scale = true, clip = true;
  // Ratios i / grid_points, 0 … 1: every other one on kSearchRows rows, the best and its neighbours on all.
  int grid_points = 20;
  // LMDeploy's procedure instead of a search: s = absmax(x)^alpha / absmax(w)^(1 - alpha), no clip.
  bool lmdeploy_smoothing = false;
  float alpha = 0.5f;
  bool block_objective = false;  // scales of q, k, v and of gate, up by BlockLoss, as the paper's
};

struct AwqFold {
  std::string what;                        // "input_norm -> q, k, v"
  float ratio = 0;                         // of the winning scale; 0 = identity
  double loss_before = 0, loss_after = 0;  // sum of tr(dW H dW^T) with identity and winner
};

// Scales `layer` in place (its function in f32 stays the same) and the statistics with it. `block`: what
// scales are searched by instead of the linears' errors, where it knows them; or null.
std::vector<AwqFold> smooth_layer(SourceLayer& layer, std::array<InputStats, kNumLinearInputs>& stats,
                                  const QuantSpec& spec, const AwqOptions& options, const BlockLoss* block,
                                  const TeamMath& math);

// Grids [n][groups] whose ranges are shrunk to 1, 0.95 … 0.5 of the weights', each group to its best.
void clip_grids(const LinearMatrix& matrix, const InputStats& stats, QuantizedMatrix& out,
                const TeamMath& math);

// Rounds `matrix` to grids that `out` has already.
void round_matrix(const LinearMatrix& matrix, QuantizedMatrix& out, bool keep_grids, const TeamMath& math);

// Pieces that other smoothing methods share.
std::vector<float> column_absmax(const std::vector<LinearMatrix*>& matrices);  // max over all rows of |w| [k]
void multiply_columns(LinearMatrix& matrix, const std::vector<float>& s);
// Dead channels (never seen, or without a weight) get 1; the rest is centred on 1 and kept in f16's range.
std::vector<float> centred_scale(std::vector<float> s);

}  // namespace turgo
