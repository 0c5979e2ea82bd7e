// The server's side of every route over one loaded model: admits a request (Host, Origin, key, method, media
// type), finds the function that answers, and turns what it throws into OpenAI's error form.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/pipeline.h"
#include "serve/access.h"
#include "serve/generation.h"
#include "serve/grammar/token_grammar.h"
#include "serve/http/http_server.h"
#include "serve/keys.h"
#include "serve/lmdeploy/interactive_sessions.h"
#include "serve/metrics.h"
#include "serve/routes.h"
#include "serve/tools/tool_format.h"

namespace turgo {

struct ApiConfig {
  std::string model_name;
  std::vector<std::string> api_keys;  // neither these nor a file: everybody may call
  std::string api_keys_file;          // KeyRing's
  AccessConfig access;
  double timeout = 0;  // seconds of one answer; 0 = none
  size_t max_body = 8 << 20;
  std::string sessions_dir;      // where /v1/sessions/{id}/save writes; "" = nowhere
  std::string api_prefix;        // in front of every route
  bool takes_any_model = false;  // whatever name a request says: of batches over one model
  // How the models write calls ("" as their templates tell, "none", a name of list_tool_formats()), and
  // whether text in <think>…</think> is reasoning ("" as their templates tell, "none", "think").
  std::string tool_call_parser, reasoning_parser;
};

class ApiServer : public HttpHandler {
 public:
  // `pipeline` may come later (set_pipeline) and go while nothing runs; `keys` is shared with other servers.
  ApiServer(Pipeline* pipeline, ApiConfig config, std::shared_ptr<KeyRing> keys);

  Admission admit(const HttpRequest& head) override;
  std::unique_ptr<Responder> handle(HttpRequest request) override {
    return handle_with(routes_, std::move(request));
  }
  std::unique_ptr<Responder> handle_with(const RouteTable& routes, HttpRequest request);
  HttpResponse refuse(int status, const std::string& reason) override;
  void finished(const HttpLogEntry& entry) override;

  // Sees every request that is over, with the pattern that its path matched, but for probes that found all
  // well. On the I/O thread.
  using Observer = std::function<void(const HttpLogEntry& entry, const std::string& route)>;
  void observe(Observer observer) { observers_.push_back(std::move(observer)); }
  // `why_not` is asked by /readyz and /health, on the I/O thread: "" = requests are taken.
  void set_readiness(std::function<std::string()> why_not) { why_not_ready_ = std::move(why_not); }

  Pipeline& pipeline();
  void set_pipeline(Pipeline* pipeline) { pipeline_ = pipeline; }
  int32_t vocab_size();             // 0 while no model is there: of a description
  const ToolFormat* tool_format();  // nullptr: the model writes no calls
  bool thinks();
  const ApiConfig& config() const { return config_; }
  Metrics& metrics() { return metrics_; }
  InteractiveSessions& sessions() { return sessions_; }
  RouteTable& routes() { return routes_; }
  KeyRing& keys() { return *keys_; }
  Grammars& grammars();
  std::string why_not_ready() const { return why_not_ready_ ? why_not_ready_() : ""; }
  int64_t started() const { return started_; }  // seconds since 1970

  void post(const std::string& path, std::unique_ptr<Responder> (*function)(ApiServer&, const Call&),
            const std::string& summary, const char* answer = "", const char* stream = "");
  // Throws ApiError 404 for a model that is not served here.
  void check_model(Fields& fields) const;
  // Throws ApiError, also 429 where the queue is full. `param` is the field that the prompt came in.
  Choice submit(std::vector<int32_t> ids, GenerationConfig config, const SessionRef& session, bool is_chat,
                const std::string& param);

 private:
  RouteTable::Match match(const RouteTable& routes, const std::string& path) const;  // without the prefix

  std::atomic<Pipeline*> pipeline_;
  ApiConfig config_;
  std::shared_ptr<KeyRing> keys_;
  Access access_;
  Metrics metrics_;
  std::vector<Observer> observers_;
  InteractiveSessions sessions_;
  GrammarCompiler grammars_;
  RouteTable routes_;
  std::function<std::string()> why_not_ready_;
  int64_t started_;
};

std::unique_ptr<Responder> respond_json(const Json& value);

// The functions behind the routes. All throw ApiError.
std::unique_ptr<Responder> chat_completions(ApiServer& server, const Call& call);
std::vector<int32_t> chat_prompt(ApiServer& server, const Call& call);  // what chat_completions() submits
std::unique_ptr<Responder> completions(ApiServer& server, const Call& call);
std::unique_ptr<Responder> chat_interactive(ApiServer& server, const Call& call);
std::unique_ptr<Responder> generate_route(ApiServer& server, const Call& call);
std::unique_ptr<Responder> encode_route(ApiServer& server, const Call& call);
std::unique_ptr<Responder> tokenize_route(ApiServer& server, const Call& call);
std::unique_ptr<Responder> detokenize_route(ApiServer& server, const Call& call);

}  // namespace turgo
