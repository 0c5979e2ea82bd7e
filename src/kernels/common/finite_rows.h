// Do the weights of a file hold NaN or infinity? One such value reaches every logit, and nothing that comes
// out then says why. Of a quantised block the f16 scales and offsets decide: a finite scale times a small
// integer is finite. e4m3 has a NaN of its own.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace turgo {

// Index of the first element of a row of `n` (a multiple of the type's block size) that is not finite; for a
// quantised type the first element of its block. -1 if all are finite. `row` may be unaligned.
int64_t first_not_finite(DType dtype, const void* row, int64_t n);

}  // namespace turgo
