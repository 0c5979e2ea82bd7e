// A Hugging Face folder -> ModelFile: config.json plus model.safetensors, or the shards of
// model.safetensors.index.json. `auto_map` (remote code) is ignored and never followed; pickles are never
// opened.
#pragma once

#include <string>

#include "io/model_file.h"

namespace turgo {

// True if the folder holds safetensors under one of the names above.
bool has_safetensors(const std::string& folder);

// Throws as open_model does.
ModelFileParts read_hf_folder(const std::string& folder);

}  // namespace turgo
