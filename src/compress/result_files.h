// The finished model: the layers of a work folder, the tables that were not compressed, and the files beside
// them, as a Hugging Face folder or as one GGUF file.
#pragma once

#include <string>

#include "compress/compressor.h"
#include "compress/work_folder.h"

namespace turgo {

enum class Container : uint8_t { kFolder, kGguf };

struct ResultFormat {
  Container container = Container::kFolder;
  FolderFormat folder = FolderFormat::kDense;
  DType dense = DType::kBF16;  // of norms, tables and unquantised matrices in a folder (AWQ, GPTQ: f16)
  DType block = DType::kQ4_0;  // of matrices in a GGUF file
  bool act_order = false;
};

// What a layer's file in the work folder holds.
std::vector<OutputTensor> layer_tensors(const CompressedLayer& layer, const SourceModel& source,
                                        const ResultFormat& format);

// `config` has the widths after pruning.
void write_result(const SourceModel& source, const DecoderConfig& config, const Recipe& recipe,
                  const ResultFormat& format, const WorkFolder& work, const std::string& path);

// The GGUF type that holds these codes exactly (Q4_0, Q4_1, Q8_0 in groups of 32). Throws
// Error{kInvalidArgument}.
DType gguf_type_of(const QuantSpec& spec);

}  // namespace turgo
