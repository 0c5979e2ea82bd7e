// The interfaces beside OpenAI's and LMDeploy's, each entered by its own function.
#pragma once

namespace turgo {

class ApiServer;

void add_dialect_routes(ApiServer& server);  // all of these
void add_embedding_routes(ApiServer& server);
void add_anthropic_routes(ApiServer& server);
void add_ollama_routes(ApiServer& server);
void add_responses_routes(ApiServer& server);
void add_session_routes(ApiServer& server);
void add_llama_cpp_routes(ApiServer& server);

}  // namespace turgo
