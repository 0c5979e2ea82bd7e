// One vector for a text out of the hidden states of its tokens, as the model's own files say:
// sentence-transformers' modules.json and 1_Pooling/config.json in a folder, ARCH.pooling_type in a GGUF
// (1 mean, 2 cls, 3 last). A model that says nothing gives its last token's state, normalised to length 1,
// as in vLLM.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace turgo {

struct PoolingConfig {
  enum class Kind : uint8_t { kLast, kMean, kFirst };
  Kind kind = Kind::kLast;
  bool normalizes = true;
};

// Throws Error{kCorrupt, kUnsupported} for files that say what is not built (max pooling).
PoolingConfig read_pooling(const std::string& model_path);

class Pool {
 public:
  explicit Pool(PoolingConfig config) : config_(config) {}
  void add(std::span<const float> row);
  // Cut to the first `dimensions` (Matryoshka; 0 = all), then normalised.
  std::vector<float> finish(size_t dimensions) const;

 private:
  PoolingConfig config_;
  std::vector<double> sum_;
  int64_t num_rows_ = 0;
};

}  // namespace turgo
