// On which CPU a thread runs, and how it gets away from one. Where others of the process wake for an instant,
// the kernel now and then puts two computing threads on one CPU for a slice or more while another is idle.
#pragma once

#include <span>

namespace turgo {

// The calling thread's CPU; -1 if the system does not say.
int current_cpu();

// Moves the calling thread to a CPU of its affinity mask that is not in `taken`; false, and nothing happens,
// if there is none. The mask is the same afterwards: the thread is moved, not pinned, though it does not see
// CPUs that the machine or its container is given later. Which CPU it gets is the kernel's choice, not
// necessarily an idle one: from there the kernel balances as ever.
bool leave_cpus(std::span<const int> taken);

}  // namespace turgo
