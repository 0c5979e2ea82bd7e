// What a user may ask of one answer. Names are LMDeploy's GenerationConfig; options come from one list, so
// that flags, JSON and help agree.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/options.h"
#include "sampling/sampling_params.h"

namespace turgo {

class TokenMask;

struct GenerationConfig {
  int32_t max_new_tokens = 512;
  int32_t min_new_tokens = 0;
  float temperature = 0.8f;
  int32_t top_k = 40;
  float top_p = 0.8f;
  float min_p = 0;
  float repetition_penalty = 1;
  float presence_penalty = 0, frequency_penalty = 0;
  std::optional<uint64_t> seed;   // unset: a fresh random one per answer
  std::vector<std::string> stop;  // strings that end the answer; may span tokens
  bool include_stop = false;      // the stop string stays in the text
  std::vector<int32_t> stop_token_ids;
  std::vector<std::pair<int32_t, float>> logit_bias;
  bool ignore_eos = false;
  int32_t logprobs = -1;  // -1 none, 0 the chosen token's, n also the n best
  bool skip_special_tokens = true;
  double max_seconds = 0;           // > 0: ends with FinishReason::kTimeout after it
  int32_t priority = 0;             // smaller is served first
  std::shared_ptr<TokenMask> mask;  // tokens that the next step may choose; of this one answer
};

// Everything that a flag can carry: not stop_token_ids, logit_bias, max_seconds, priority, mask.
void list_options(GenerationConfig& config, OptionList& list);

// Throws Error{kInvalidArgument} for stop strings that are empty, too many or too long. The ranges of the
// numbers are the sampler's to check (engine submit), for they need the vocabulary.
SamplingParams sampling_params(const GenerationConfig& config);

}  // namespace turgo
