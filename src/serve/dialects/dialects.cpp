#include "serve/dialects/dialects.h"

namespace turgo {

void add_dialect_routes(ApiServer& server) {
  add_embedding_routes(server);
  add_anthropic_routes(server);
  add_ollama_routes(server);
}

}  // namespace turgo
