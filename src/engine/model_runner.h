// The seam between the engine's logic and a model: executes a StepPlan. The real one drives a Decoder
// (decoder_runner.h); tests and the simulation use a fake that computes tokens from what its cache holds.
#pragma once

#include <span>

#include "engine/step_plan.h"

namespace turgo {

struct ModelLimits {
  std::string model_id;  // of the weights: a saved session belongs to them
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t num_layers = 0;       // that a step may take apart (StepPlan::layered); < 2 = none
  int32_t session_len = 0;      // positions that the model can compute
  int32_t max_rows = 0;         // of one step
  int32_t max_logits_rows = 0;  // of one step with all_logits (0 = max_rows)
  std::vector<int32_t> eos_token_ids;
  std::vector<WindowGroup> windows;  // layer groups beside group 0, in the order of the decoder's CacheSpecs
  std::string cache_key;             // what else K and V depend on: KV type, rope choice
};

class ModelRunner {
 public:
  virtual ~ModelRunner() = default;
  virtual const ModelLimits& limits() const = 0;
  // Throws Error if the step could not be computed (memory); the cache content of its slices is then
  // undefined.
  virtual void execute(const StepPlan& plan, StepResult& result) = 0;
};

// The slice's token from its last row's logits, which are overwritten.
SampledToken sample_slice(const StepSlice& slice, std::span<float> logits, SampleScratch& scratch);

}  // namespace turgo
