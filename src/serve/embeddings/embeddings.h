// Vectors of texts out of a server's model, for all the interfaces that give them out.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "serve/api_server.h"
#include "serve/embeddings/pooling.h"

namespace turgo {

Json embedding_input_schema();

class Embedder {
 public:
  explicit Embedder(ApiServer& server) : server_(server) {}
  // Blocks. Throws Error; kCancelled once `cancelled` is set.
  std::vector<float> embed(const std::vector<int32_t>& ids, size_t dimensions,
                           const std::atomic<bool>& cancelled);
  // A list of texts or of token ids ("input" of OpenAI). Throws ApiError naming `field`, also for a text
  // beyond the context unless `truncates`.
  std::vector<std::vector<int32_t>> read_inputs(const Json& input, const std::string& field, bool truncates);
  void check_dimensions(int32_t dimensions);
  size_t hidden_size() { return static_cast<size_t>(server_.pipeline().engine().model_config().hidden_size); }

 private:
  ApiServer& server_;
  std::mutex mutex_;
  std::optional<PoolingConfig> pooling_;
};

}  // namespace turgo
