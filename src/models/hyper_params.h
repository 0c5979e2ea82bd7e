// Hyper-parameters as an architecture file asks for them: one name in config.json, one in GGUF metadata, a
// range. Invariants: nothing leaves this class that is not a finite number inside the range that was asked
// for, and every error names the file, the key, what was expected and what came.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/model_file.h"

namespace turgo {

// nullptr: not stored in this format. GGUF keys are without the architecture's prefix ("llama.").
struct ParamName {
  const char* hf = nullptr;
  const char* gguf = nullptr;
};

// Limits of what a file may ask for. Far above any published model, far below what overflows an int32 product
// of two or makes an allocation before the tensors' shapes were compared.
inline constexpr int64_t kMaxLayers = 512;
inline constexpr int64_t kMaxHeads = 1024;
inline constexpr int64_t kMaxHeadDim = 4096;
inline constexpr int64_t kMaxHiddenSize = 1 << 18;
inline constexpr int64_t kMaxIntermediateSize = 1 << 22;
inline constexpr int64_t kMaxVocabSize = 1 << 24;
inline constexpr int64_t kMaxPosition = 1 << 28;

class HyperParams {
 public:
  // config.json: keys of a nested `text_config` (or `llm_config`) come first, the outer ones fill in.
  explicit HyperParams(const ModelFile& file);

  const ModelFile& file() const { return *file_; }
  bool gguf() const { return file_->kind() == ModelFile::Kind::kGguf; }
  // "LlamaForCausalLM" or model_type "llama"; GGUF: general.architecture. Candidates, best first.
  std::vector<std::string> architecture_names() const;

  bool has(ParamName name) const;
  std::optional<int32_t> find_int(ParamName name, int64_t min, int64_t max) const;
  int32_t get_int(ParamName name, int64_t min, int64_t max) const;
  int32_t get_int(ParamName name, int64_t min, int64_t max, int32_t fallback) const;
  std::optional<float> find_float(ParamName name, double min, double max) const;
  float get_float(ParamName name, double min, double max) const;
  float get_float(ParamName name, double min, double max, float fallback) const;
  bool get_bool(ParamName name, bool fallback) const;
  std::string get_string(ParamName name, const std::string& fallback) const;
  std::vector<float> find_floats(ParamName name, double min, double max) const;
  std::vector<std::string> find_strings(ParamName name) const;
  // One number, or a list of one or more; empty if absent.
  std::vector<int32_t> find_ints(ParamName name, int64_t min, int64_t max) const;
  // One number for all layers, or a list of num_layers numbers; empty if absent.
  std::vector<int32_t> find_per_layer(ParamName name, int64_t min, int64_t max, int num_layers) const;

  // The object under `hf_key` as HyperParams of its own (config.json only); nullopt if absent or null.
  std::optional<HyperParams> child(const char* hf_key) const;

  // What was expected, for errors that two parameters make together.
  [[noreturn]] void bad(ParamName name, const std::string& expected) const;

 private:
  HyperParams() = default;
  const Json* find(ParamName name) const;
  std::string key(ParamName name) const;

  const ModelFile* file_ = nullptr;
  std::string prefix_;                // GGUF: "llama."
  std::string path_;                  // of a child: "rope_scaling."
  std::vector<const Json*> objects_;  // searched in this order
};

}  // namespace turgo
