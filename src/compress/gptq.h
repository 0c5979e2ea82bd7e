// GPTQ (Frantar et al., arXiv 2210.17323) and SparseGPT (arXiv 2301.00774): the columns of W are rounded or
// zeroed one after the other, and what is left of the row takes up the error, weighted by the inverse of H.
//   U upper triangular with (H + lambda I)^-1 = U^T U;  e = (w_j - q_j) / U_jj;  w_t -= e U_jt for t > j
// Rows are independent of each other: one thread a row, the same bits for any number of threads.
#pragma once

#include "compress/input_stats.h"
#include "compress/quant_grid.h"
#include "compress/source_model.h"
#include "compress/team_math.h"

namespace turgo {

struct GptqOptions {
  // Columns in order of falling H_jj. Grids are those of the original order (static groups), so that nothing
  // needs an index at run time.
  bool act_order = true;
  double damping = 0.01;  // lambda as a share of the mean of H's diagonal; raised until H factors
  bool clip = false;      // fit the static grids by clip_grids()
};

// H's factor in processing order. `order[p]` is the column that is p-th.
struct SolveOrder {
  std::vector<int64_t> order;
  std::vector<float> u;    // [k][k]
  double damping = 0;      // that was needed; < 0: H could not be factored at all
  std::vector<bool> dead;  // by column: H_jj == 0, its weights do not matter and become 0
};
SolveOrder factor_hessian(const InputStats& stats, bool by_diagonal, double damping, const TeamMath& math);

// Codes and grids of `matrix`. Falls back to rounding where the factor failed (false).
bool gptq(const LinearMatrix& matrix, const SolveOrder& solve, const InputStats& stats,
          const GptqOptions& options, QuantizedMatrix& out, const TeamMath& math);

// w[i][t] -= sum over p in [begin, end) of error[i][p - begin] u[p][t], for t in [end, k).
void take_up(const float* error, int64_t error_stride, int64_t begin, int64_t end, int64_t k, int64_t rows,
             const std::vector<float>& u, float* w);

}  // namespace turgo
