#include "serve/dialects/dialects.h"

namespace turgo {

void add_dialect_routes(ApiServer& server) {
  add_embedding_routes(server);
  add_anthropic_routes(server);
  add_ollama_routes(server);
  add_responses_routes(server);
  add_session_routes(server);
  add_llama_cpp_routes(server);
}

}  // namespace turgo
