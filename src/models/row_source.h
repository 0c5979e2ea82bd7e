// Where the rows of one packed segment come from: some rows and some columns of one tensor in the map. Covers
// a whole weight, the slices of tensor parallelism, and the q, k and v rows inside a grouped matrix.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_team.h"
#include "io/model_file.h"
#include "kernels/common/packed_weight.h"
#include "models/weight_buffer.h"
#include "ops/linear_weight.h"

namespace turgo {

struct RowSource {
  const RawTensor* tensor = nullptr;
  int64_t num_rows = 0;
  // Row r is the tensor's row first + r / run * stride + r % run.
  int64_t first = 0, run = 1, stride = 1;
  // Columns [k_begin, k_begin + k); both are multiples of the dtype's block size.
  int64_t k_begin = 0, k = 0;

  static RowSource all(const RawTensor& tensor);
  static RowSource rows(const RawTensor& tensor, int64_t begin, int64_t count);

  int64_t row(int64_t r) const { return first + r / run * stride + r % run; }
  const std::byte* at(int64_t r) const;  // first byte of row r's columns; not of a tensor with a reader
  std::span<const int32_t> column_order() const {
    return tensor->reader ? tensor->reader->column_order() : std::span<const int32_t>{};
  }
};

// Bytes that pack_segments() will take from a buffer.
int64_t packed_size(std::span<const RowSource> sources);

// Packs the sources into consecutive memory of `buffer`. Neighbours of one type become one segment where the
// panels allow it. Of a large source that is packed whole (a vocabulary's table), mapped pages are dropped on
// the way, so that it is never resident twice; the rest is the caller's to drop. `team` may be null. Throws
// Error{kCorrupt} naming the tensor if a weight is NaN or infinite.
PackedSegments pack_segments(std::span<const RowSource> sources, WeightBuffer& buffer, ThreadTeam* team);

// Throws Error{kCorrupt} if a value is NaN or infinite: for whole tables that stay in the map unpacked. Their
// pages are dropped on the way.
void check_finite(const RowSource& source);

// The sources' values as f32, row after row; norms and biases. f32, f16 and bf16 only (checked by the
// caller). Throws Error{kCorrupt} as above.
void read_f32(const RowSource& source, float* dst);

}  // namespace turgo
