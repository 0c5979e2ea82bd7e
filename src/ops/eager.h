// The executor that serves on a CPU: runs every verb at once on a thread team with one kernel table.
// Integer weights use the given precision; float weights (f32, f16, bf16, e4m3) use bf16 activations where
// kInt8 is asked for.
#pragma once

#include <memory>

#include "comm/group.h"
#include "core/thread_team.h"
#include "ops/executor.h"

namespace turgo {

// `group`: the ranks that share the model; null = this executor has all of it. Its verbs then meet the other
// ranks' (throw Error{kCancelled} when one of those failed).
std::shared_ptr<Executor> make_eager_executor(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels,
                                              Precision precision, std::shared_ptr<Group> group = nullptr);

// The arithmetic that a weight of this type gets under the asked-for precision.
Precision effective_precision(Precision asked, DType weight);

}  // namespace turgo
