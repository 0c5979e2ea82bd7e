// The routes of `turgo serve api_server` over one loaded model: who may call them (keys, Host, Origin), and
// which function answers. The functions are in openai/, lmdeploy/ and utility_routes.cpp.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pipeline/pipeline.h"
#include "serve/generation.h"
#include "serve/http/http_server.h"
#include "serve/lmdeploy/interactive_sessions.h"
#include "serve/metrics.h"

namespace turgo {

struct ApiConfig {
  std::string model_name;
  std::vector<std::string> api_keys;       // none: everybody may call
  std::vector<std::string> allow_origins;  // CORS; "*" = all
  std::vector<std::string> allowed_hosts;  // Host values beside the loopback's own names; "*" = all
  double timeout = 0;                      // seconds of one answer; 0 = none
  size_t max_body = 8 << 20;
  std::string api_prefix;  // in front of every route
};

struct Call {
  const HttpRequest& request;
  std::string owner;  // of sessions and of what the prefix cache keeps
};

class ApiServer : public HttpHandler {
 public:
  using Route = std::function<std::unique_ptr<Responder>(const Call&)>;

  ApiServer(Pipeline& pipeline, ApiConfig config);

  Admission admit(const HttpRequest& head) override;
  std::unique_ptr<Responder> handle(HttpRequest request) override;
  HttpResponse refuse(int status, const std::string& reason) override;
  void finished(const HttpLogEntry& entry) override;

  void set_readiness(std::function<bool()> is_ready) { is_ready_ = std::move(is_ready); }

  Pipeline& pipeline() { return pipeline_; }
  const ApiConfig& config() const { return config_; }
  Metrics& metrics() { return metrics_; }
  InteractiveSessions& sessions() { return sessions_; }
  bool is_ready() const { return !is_ready_ || is_ready_(); }

  // Throws ApiError 404 for a model that is not served here.
  void check_model(Fields& fields) const;
  // Throws ApiError, also 429 where the queue is full. `param` is the field that the prompt came in.
  Choice submit(std::vector<int32_t> ids, GenerationConfig config, const SessionRef& session, bool is_chat,
                const std::string& param);

 private:
  struct Entry {
    std::string method;
    Route route;
    bool is_open = false;   // needs no key
    bool is_cheap = false;  // HttpHandler::Admission::is_cheap
  };
  void add(const std::string& method, const std::string& path, Route route, bool is_open = false,
           bool is_cheap = false);
  const std::vector<Entry>* find(const std::string& path) const;
  std::string check_origin(const HttpRequest& head) const;  // "" = fine
  bool has_key(const HttpRequest& head) const;
  bool allows_origin(std::string_view origin) const;

  Pipeline& pipeline_;
  ApiConfig config_;
  Metrics metrics_;
  InteractiveSessions sessions_;
  std::map<std::string, std::vector<Entry>> routes_;
  std::function<bool()> is_ready_;
};

// Compares every byte whatever differs: the time tells the length of `given` alone.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

std::unique_ptr<Responder> respond_json(const Json& value);

// The functions behind the routes. All throw ApiError.
std::unique_ptr<Responder> chat_completions(ApiServer& server, const Call& call);
std::unique_ptr<Responder> completions(ApiServer& server, const Call& call);
std::unique_ptr<Responder> chat_interactive(ApiServer& server, const Call& call);
std::unique_ptr<Responder> generate_route(ApiServer& server, const Call& call);
std::unique_ptr<Responder> encode_route(ApiServer& server, const Call& call);
std::unique_ptr<Responder> tokenize_route(ApiServer& server, const Call& call);
std::unique_ptr<Responder> detokenize_route(ApiServer& server, const Call& call);

}  // namespace turgo
