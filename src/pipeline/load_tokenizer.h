// The tokenizer of a model, from wherever it stands: tokenizer.json, tokenizer.model, or a GGUF's metadata.
#pragma once

#include <memory>

#include "io/model_file.h"
#include "text/tokenizer.h"

namespace turgo {

// nullptr if the model has none. Throws Error{kCorrupt, kUnsupported} for one that can not be read.
std::shared_ptr<const Tokenizer> load_tokenizer(const ModelFile& model);

}  // namespace turgo
