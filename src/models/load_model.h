// File -> Decoder: finds the architecture, checks every number and every tensor's shape, packs the weights.
// Throws Error{kCorrupt, kUnsupported, kInvalidArgument, kResourceExhausted, kIo} naming the tensor or key.
// Each tensor's mapped pages are dropped once it is packed, so the peak resident set stays near the packed
// size.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/thread_team.h"
#include "io/model_file.h"
#include "models/decoder.h"

namespace turgo {

// Which part of a model this process loads, and where: rank `rank` of `world` tensor-parallel ranks. Only its
// slices are read from the map. One rank on the CPU today.
struct LoadPlan {
  int rank = 0, world = 1;
  std::vector<Device> layer_devices;  // empty = all on the CPU
};

struct LoadOptions {
  // Unset: int8 activations for integer weights of up to 8 bits, bf16 for 16- and 32-bit floats. A model
  // without integer weights can not use int8 and gets bf16.
  std::optional<Precision> precision;
  // Float heads (and embeddings tied to them) of folders with quantised layers are packed in 8 bits
  // (rounded_table.h), but never for Precision::kF32, which takes every weight as it is.
  bool round_head = true;
  LoadPlan plan;
  ThreadTeam* team = nullptr;  // packs panels in parallel; null: the calling thread
  // Called after each layer with the bytes of the file that were read so far, and all that will be.
  std::function<void(int64_t done_bytes, int64_t total_bytes)> progress;
};

struct LoadedModel {
  // With world > 1, heads, kv heads and widths are this rank's; weights carry their ShardSpec.
  DecoderConfig config;
  DecoderWeights weights;
  Precision precision = Precision::kInt8;  // what the executor should use; printed
  std::shared_ptr<const ModelFile> file;   // metadata, tokenizer and template stay readable
  std::vector<std::string> skipped;        // tensors of parts that are not built (vision tower, projector)
};

LoadedModel load_model(std::shared_ptr<const ModelFile> file, const LoadOptions& options);

// Config only; no weights are read. Numbers are checked, tensors are not.
DecoderConfig read_decoder_config(const ModelFile& file);

}  // namespace turgo
