// One row of an embedding table as f32, whatever form the table has.
#pragma once

#include <cstdint>

#include "ops/linear_weight.h"

namespace turgo {

// dst: [table.k]. The row must exist (CHECK): token ids were validated when the request came.
void embed_row(const LinearWeight& table, int64_t row, float* dst);

}  // namespace turgo
