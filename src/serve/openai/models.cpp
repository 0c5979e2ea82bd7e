// GET /v1/models, and where OpenAI's routes are entered.
#include "serve/api_server.h"

namespace turgo {

static Json model_json(ApiServer& server) {
  const std::string& name = server.config().model_name;
  return {{"id", name},
          {"object", "model"},
          {"created", server.started()},
          {"owned_by", "turgo"},
          {"root", name},
          {"parent", nullptr},
          {"max_model_len", server.pipeline().session_len()}};
}

void add_openai_routes(ApiServer& server) {
  RouteTable& routes = server.routes();
  auto list = [&server](const Call&) {
    return respond_json({{"object", "list"}, {"data", Json::array({model_json(server)})}});
  };
  auto one = [&server](const Call& call) {
    if (call.params[0] != server.config().model_name)
      throw ApiError(404, fmt::format("the model {} is not served here", quote(call.params[0])), "model",
                     "model_not_found");
    return respond_json(model_json(server));
  };
  routes.add("GET", "/v1/models", list, {false, true, "The models that are served", "ModelList"});
  routes.add("GET", "/v1/models/{id*}", one, {false, true, "One model", "Model"});
  server.post("/v1/chat/completions", chat_completions, "Answer a conversation (OpenAI)", "ChatCompletion",
              "text/event-stream");
  server.post("/v1/completions", completions, "Continue a text (OpenAI)", "Completion", "text/event-stream");
}

}  // namespace turgo
