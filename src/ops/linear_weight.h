// A linear layer's weight in any form that an executor can multiply with. One logical matrix {n, k} may be
// stored as several segments of rows (q | k | v, gate | up) because files quantise them to different types.
#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor.h"
#include "kernels/common/packed_weight.h"

namespace turgo {

// How tensor parallelism cuts the weight: rows of {n, k} (column parallel in the field's words), its k (row
// parallel; an all-reduce follows), or kv heads that are copied when there are fewer of them than ranks.
enum class Shard : uint8_t { kNone, kColumn, kRow, kKvReplicated };
struct ShardSpec {
  Shard kind = Shard::kNone;
  int rank = 0, world = 1;
};

struct DenseWeight {  // row-major, file or training memory; f32, f16 or bf16
  TensorView data;    // {n, k}
  std::shared_ptr<const void> owner;
};
struct PackedSegments {
  std::vector<PackedWeight> segments;  // same k; n adds up
  std::shared_ptr<const void> owner;
};
struct SparseWeight {  // 2:4 sparse: packed non-zeros and 2-bit indices; filled by pruning
  PackedWeight values;
  const std::byte* indices = nullptr;
  std::shared_ptr<const void> owner;
};
struct FakeQuantWeight {  // quantisation-aware training: f32 master weight seen through a quantiser
  TensorView data;        // {n, k}
  DType target = DType::kQ4_0;
  std::shared_ptr<const void> owner;
};

struct AdapterSlot {  // LoRA: y += scale * B (A x)
  TensorView a, b;    // {rank, k}, {n, rank}
  float scale = 1;
};

struct LinearWeight {
  std::variant<std::monostate, DenseWeight, PackedSegments, SparseWeight, FakeQuantWeight> data;
  int64_t n = 0, k = 0;
  const float* bias = nullptr;           // [n] f32, owned by the data's owner
  const float* input_scale = nullptr;    // [k]: x is divided by it (AWQ, SmoothQuant)
  const int32_t* input_order = nullptr;  // [k]: column j multiplies x[input_order[j]] (GPTQ's act-order)
  ShardSpec shard;
  std::vector<AdapterSlot> adapters;  // indexed by adapter id
  std::string name;                   // "layers.3.qkv": for messages and calibration

  explicit operator bool() const { return data.index() != 0; }
};

}  // namespace turgo
