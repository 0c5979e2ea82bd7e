// What this machine can do at most: the two ceilings that every phase of a step is held against.
#pragma once

#include <cstdint>

#include "core/thread_team.h"

namespace turgo {

struct MachineLimits {
  double read_bytes = 0;  // per second, from a buffer of the given size: cache counts where the model fits it
  double int8_ops = 0, bf16_ops = 0, f32_ops = 0;  // per second; 0 where the ISA has no loop for it
};

// Of the whole team with the instructions of kernel table `isa`, best of several passes: about 0.3 s, and a
// buffer of `bytes`.
MachineLimits measure_machine_limits(ThreadTeam& team, const char* isa, int64_t bytes);

}  // namespace turgo
