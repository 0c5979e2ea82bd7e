// File -> Decoder: finds the architecture, checks every number, packs the weights. Throws Error{kNotFound,
// kCorrupt, kUnsupported} naming the tensor or key.
#pragma once

#include <memory>
#include <string>

#include "io/model_file.h"
#include "models/decoder.h"

namespace turgo {

// Which part of a model this process loads, and where. One rank on the CPU today; slices are read from the
// map.
struct LoadPlan {
  int rank = 0, world = 1;
  std::vector<Device> layer_devices;  // empty = all on the CPU
};

struct LoadOptions {
  // Unset: int8 activations for integer weights of up to 8 bits, bf16 for 16- and 32-bit floats.
  std::optional<Precision> precision;
  LoadPlan plan;
};

struct LoadedModel {
  DecoderConfig config;
  DecoderWeights weights;
  Precision precision = Precision::kInt8;  // what the executor should use; printed
  std::shared_ptr<const ModelFile> file;   // metadata, tokenizer and template stay readable
};

LoadedModel load_model(std::shared_ptr<const ModelFile> file, const LoadOptions& options);

// Config only; no weights are read.
DecoderConfig read_decoder_config(const ModelFile& file);

}  // namespace turgo
