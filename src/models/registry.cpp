#include "core/error.h"
#include "models/architecture.h"

namespace turgo {

const std::vector<Architecture>& known_architectures() {
  static const std::vector<Architecture> all = {llama_architecture(),  mistral_architecture(),
                                                qwen2_architecture(),  qwen3_architecture(),
                                                gemma3_architecture(), internlm2_architecture()};
  return all;
}

const Architecture& find_architecture(const HyperParams& params) {
  auto names = params.architecture_names();
  for (const std::string& name : names)
    for (const Architecture& a : known_architectures())
      for (const char* known : params.gguf() ? a.gguf_names : a.hf_names)
        if (name == known) return a;
  std::string list;
  for (const Architecture& a : known_architectures())
    list += (list.empty() ? "" : ", ") + std::string(a.name);
  const char* key = params.gguf() ? "general.architecture" : "architectures or model_type in config.json";
  if (names.empty())
    fail(ErrorCode::kCorrupt, "{}: expected {}, found none", quote(params.file().path(), 200), key);
  fail(ErrorCode::kUnsupported, "{}: architecture {} is not supported; known are: {}",
       quote(params.file().path(), 200), quote(names.front()), list);
}

}  // namespace turgo
