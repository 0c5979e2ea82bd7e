// Tables for CPUs that the authors' machines are not: checked against the scalar table when they are first
// used.
#pragma once

#include "kernels/cpu/kernel_table.h"

namespace turgo {

// Does `table` multiply as `scalar` does? A few milliseconds: 20 tokens, 40 rows, 256 k, weights of four
// kinds.
bool multiplies_alike(const KernelTable& table, const KernelTable& scalar);

}  // namespace turgo
