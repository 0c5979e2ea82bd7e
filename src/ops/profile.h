// Where the time of a step goes: an executor that measures each verb of another one. A verb of the eager
// executor is a phase of the layer, so the wall time of its call is the phase's time on the whole team.
//
// Beside the time stands the least that a phase must do: its multiply-adds, and the bytes of weights and
// cache that it has to read once. Activations, norms and quantisation are not counted: they are the kernel's
// to hide.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "ops/executor.h"

namespace turgo {

enum class Phase : uint8_t { kEmbed, kQkv, kAttention, kOutput, kGateUp, kDown, kLogits, kSampling };
inline constexpr int kNumPhases = 8;
const char* phase_name(Phase phase);

struct PhaseCost {
  double seconds = 0;
  double ops = 0;    // a multiply-add is two
  double bytes = 0;  // of weights and cache, each read once per call
  int64_t calls = 0;
  Precision precision = Precision::kInt8;  // of the products: which peak `ops` is held against
};

struct StepCosts {
  std::array<PhaseCost, kNumPhases> phases;
  int64_t num_steps = 0;
};

// Steps in which every sequence has one row are decodes, all others prefill. Written by the engine's thread:
// read it while no request runs.
struct StepProfile {
  StepCosts prefill, decode;
};

std::shared_ptr<Executor> make_profiling_executor(std::shared_ptr<Executor> executor, Precision precision,
                                                  std::shared_ptr<StepProfile> profile);

}  // namespace turgo
