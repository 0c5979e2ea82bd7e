// SmoothQuant (Xiao et al., arXiv 2211.10438): part of the activations' outliers is moved into the weights,
// so that both round well to 8 bits. s_j = max|x_j|^a / max|w_j|^(1-a), folded into the norm in front; a is
// searched per norm, with the identity among the candidates.
#pragma once

#include <array>

#include "compress/awq.h"

namespace turgo {

// Scales `layer` in place and the statistics with it. The loss of a candidate is an estimate of the squared
// error of int8 x int8 products: weights rounded per row against H, activations per token against the
// weights' norms.
std::vector<AwqFold> smooth_quant_layer(SourceLayer& layer, std::array<InputStats, kNumLinearInputs>& stats,
                                        const std::vector<float>& alphas, const TeamMath& math);

}  // namespace turgo
