// The objective of AWQ's paper: how far the answers of a whole attention or MLP block move when the matrices
// that read its input are rounded. It sees every calibration token again for each attempt.
#pragma once

#include "compress/layer_runner.h"

namespace turgo {

class BlockLoss {
 public:
  // `states`: in front of the layer.
  BlockLoss(const DecoderConfig& config, const TeamMath& math, const SourceLayer& layer, HiddenStates states);

  // Sum of squares over all tokens, of the attention (kQkv) or the MLP (kGateUp) of `changed`.
  double operator()(const SourceLayer& changed, LinearInput input) const;

 private:
  HiddenStates after(const SourceLayer& layer, LinearInput input) const;

  LayerRunner runner_;
  const TeamMath& math_;
  HiddenStates before_, between_, behind_;  // the attention, it and the MLP, the MLP
};

}  // namespace turgo
