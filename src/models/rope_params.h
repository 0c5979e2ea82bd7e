// rope_scaling / rope_parameters of config.json and rope.scaling.* of GGUF -> RopeConfig. Formulas are not
// here: a RopeConfig only carries checked numbers.
#pragma once

#include "models/decoder_config.h"
#include "models/hyper_params.h"

namespace turgo {

struct RopeDefaults {
  float theta = 10000;
  int32_t head_dim = 0;
  int32_t max_position = 0;
};

// The rope of all layers. Both spellings: rope_theta + rope_scaling {"type" or "rope_type", …} (or null), and
// rope_parameters {rope_theta, rope_type, …}. GGUF's rope_freqs.weight (the factors of llama3 scaling,
// computed by the converter) becomes kLongRope with equal short and long factors: the same arithmetic.
RopeConfig read_rope(const HyperParams& params, const RopeDefaults& defaults);

// The same from one object that holds "rope_type" and its numbers (rope_parameters.full_attention, …).
// `outer` gives what stands beside it.
RopeConfig read_rope_object(const HyperParams& outer, const HyperParams& object,
                            const RopeDefaults& defaults);

}  // namespace turgo
