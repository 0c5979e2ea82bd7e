// What a GGUF file says about a model that comes from a Hugging Face folder: hyper-parameters and vocabulary
// under GGUF's keys (github.com/ggml-org/ggml, docs/gguf.md).
#pragma once

#include "compress/source_model.h"
#include "io/gguf_writer.h"

namespace turgo {

// GGUF's name of the source's architecture; q and k rows of "llama" are stored with rope pairs as neighbours.
std::string gguf_architecture(const SourceModel& source);

// Sets every key but the tensors'. Throws Error{kUnsupported} for what GGUF has no key or name for: layers
// that differ, a rope scaling other than linear, a pre-tokenizer without a name.
void describe_as_gguf(const SourceModel& source, const DecoderConfig& config, GgufHeader& header);

}  // namespace turgo
