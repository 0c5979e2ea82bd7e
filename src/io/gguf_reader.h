// GGUF files on disk -> ModelFile: one file, or all shards of a split ("NAME-00001-of-000NN.gguf").
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "io/model_file.h"

namespace turgo {

struct GgufShardName {
  std::string prefix;  // everything before "-00001-of-00003.gguf"
  int number = 0, count = 0;
};
// nullopt if the file name is no shard's.
std::optional<GgufShardName> parse_shard_name(const std::string& path);

// `path` may be any shard. Metadata comes from shard 1. Throws as open_model does.
ModelFileParts read_gguf(const std::string& path, bool needs_tensors = true);

}  // namespace turgo
