// The small files of a Hugging Face folder: config.json, tokenizer and generation settings, copied from a
// folder or made from a GGUF file's metadata.
#pragma once

#include <string>

#include "compress/source_model.h"

namespace turgo {

// config.json of the model, with the layers' widths of `config` (pruning changes them). `dtype`: "bfloat16"
// …. A folder's own file is the base; from a GGUF file it is written afresh. Throws Error{kUnsupported} for a
// rope scaling that config.json can not say.
Json hf_config(const SourceModel& source, const DecoderConfig& config, const std::string& dtype);

// Everything else that stands beside the weights, into `folder`. Code (*.py) is left behind. Throws
// Error{kUnsupported} for a GGUF vocabulary that is neither byte-level BPE nor SentencePiece.
void write_hf_companions(const SourceModel& source, const std::string& folder);

}  // namespace turgo
