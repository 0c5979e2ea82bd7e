// What the zoo knows of one architecture: its names in files, how its hyper-parameters become a
// DecoderConfig, and how its tensors are called. One function per file of arch/; registry.cpp lists them.
#pragma once

#include <string>
#include <vector>

#include "models/decoder_config.h"
#include "models/hyper_params.h"
#include "models/weight_map.h"

namespace turgo {

struct Architecture {
  const char* name;                   // DecoderConfig::architecture
  std::vector<const char*> hf_names;  // class names ("LlamaForCausalLM") and model_type of config.json
  std::vector<const char*> gguf_names;
  DecoderConfig (*read_config)(const HyperParams& params);
  WeightMap (*weight_map)(const HyperParams& params, const DecoderConfig& config);
};

Architecture llama_architecture();
Architecture mistral_architecture();
Architecture qwen2_architecture();
Architecture qwen3_architecture();
Architecture gemma3_architecture();
Architecture internlm2_architecture();

const std::vector<Architecture>& known_architectures();

// By general.architecture, or by `architectures` and `model_type` of config.json. Throws Error{kUnsupported}
// that lists the known ones.
const Architecture& find_architecture(const HyperParams& params);

}  // namespace turgo
