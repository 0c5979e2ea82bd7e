#include "engine/model_runner.h"

#include <exception>

namespace turgo {

SampledToken sample_slice(const StepSlice& slice, std::span<float> logits, SampleScratch& scratch) {
  const uint32_t* allowed = nullptr;
  if (slice.mask) {
    scratch.allowed.assign((logits.size() + 31) / 32, 0);
    try {
      slice.mask->fill(scratch.allowed);
    } catch (const std::exception&) {
      SampledToken none;
      none.error = "the token mask failed";
      return none;
    }
    allowed = scratch.allowed.data();
  }
  return slice.sampler->sample(logits, slice.sample_position, allowed, scratch);
}

}  // namespace turgo
