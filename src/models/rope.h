// Rotary position tables: inverse frequencies under every scaling of RopeConfig, and cos/sin per position.
// Formulas: transformers' modeling_rope_utils; arithmetic in f32 in the same order, so that logits match.
#pragma once

#include <vector>

#include "models/decoder_config.h"

namespace turgo {

struct RopeFrequencies {
  std::vector<float> inv_freq;  // [rotary_dim / 2]
  float attention_factor = 1;   // multiplies cos and sin
};

// What depends on length (dynamic NTK, longrope) is chosen once, from session_len.
RopeFrequencies rope_frequencies(const RopeConfig& config, int32_t session_len);

// Fills cos_sin [num_positions][rotary_dim / 2][2].
void fill_rope_table(const RopeFrequencies& frequencies, int32_t num_positions, float* cos_sin);

}  // namespace turgo
