// Which weights become zero. Counts are exact: ties are broken by place (files of 4-bit weights are full of
// equal values, and a threshold would take too many).
//   magnitude  |w|, over the whole matrix                                     needs no calibration
//   wanda      |w_ij| sqrt(H_jj), over each output row (Sun et al., arXiv 2306.11695); the rest is unchanged
//   sparsegpt  w^2 / U_jj^2 over blocks of 128 columns of all rows, and the rest of a row takes up the error
//              (Frantar and Alistarh, arXiv 2301.00774); with grids the kept weights are rounded in the same
//              pass
// With n:m, n of each m consecutive weights of a row.
#pragma once

#include <string>

#include "compress/gptq.h"

namespace turgo {

enum class PruneMethod : uint8_t { kMagnitude, kWanda, kSparseGpt };

struct Sparsity {
  double ratio = 0.5;
  int n = 0, m = 0;  // n:m zeros: "2:4" means 2 zeros in each 4; 0 = unstructured

  // "0.5" or "2:4". Throws Error{kInvalidArgument}.
  static Sparsity parse(const std::string& text);
};

// Zeroes weights of `matrix` in place and returns how many are zero now because of it. `solve` only for
// SparseGPT (factor_hessian without reordering). `quantized`: with SparseGPT, codes of the result go there
// (its grids are fitted here); null = no rounding.
int64_t prune_matrix(PruneMethod method, const Sparsity& sparsity, LinearMatrix& matrix,
                     const InputStats& stats, const SolveOrder* solve, QuantizedMatrix* quantized,
                     const TeamMath& math);

// Removes the same share of MLP neurons from a layer: those with the smallest |gate row| |up row| |down
// column|. Widths stay multiples of `multiple`. Returns the new intermediate_size.
int64_t prune_neurons(SourceLayer& layer, double ratio, int64_t multiple);

}  // namespace turgo
