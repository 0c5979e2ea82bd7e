// The executor that serves on a CPU: runs every verb at once on a thread team with one kernel table.
// Integer weights use the given precision; f32, f16 and bf16 weights use bf16 activations where kInt8 is
// asked for.
#pragma once

#include <memory>

#include "core/thread_team.h"
#include "ops/executor.h"

namespace turgo {

std::shared_ptr<Executor> make_eager_executor(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels,
                                              Precision precision);

// The arithmetic that a weight of this type gets under the asked-for precision.
Precision effective_precision(Precision asked, DType weight);

}  // namespace turgo
