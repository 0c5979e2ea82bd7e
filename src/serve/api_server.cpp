#include "serve/api_server.h"

#include <algorithm>

#include "core/log.h"

namespace turgo {
namespace {

// "http://localhost:3000" -> "localhost", "[::1]:80" -> "[::1]"
std::string host_of(std::string_view text) {
  size_t scheme = text.find("://");
  if (scheme != std::string_view::npos) text.remove_prefix(scheme + 3);
  size_t end = text.starts_with('[') ? text.find(']') + 1 : text.find(':');
  std::string host(text.substr(0, std::min(end, text.size())));
  for (char& c : host) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return host;
}

bool is_loopback_name(const std::string& host) {
  return host == "localhost" || host == "127.0.0.1" || host == "[::1]" || host.ends_with(".localhost");
}

std::string key_of(const HttpRequest& head) {
  std::string_view value = head.field("authorization");
  if (value.size() > 7 && (value.starts_with("Bearer ") || value.starts_with("bearer ")))
    return std::string(value.substr(7));
  return std::string(head.field("x-api-key"));
}

}  // namespace

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  if (secret.empty()) return false;
  unsigned differ = given.size() != secret.size();
  for (size_t i = 0; i < given.size(); ++i)
    differ |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]);
  return differ == 0;
}

std::unique_ptr<Responder> respond_json(const Json& value) {
  return respond_with({{}, dump_json(value)});
}

ApiServer::ApiServer(Pipeline& pipeline, ApiConfig config)
    : pipeline_(pipeline), config_(std::move(config)), metrics_(config_.model_name) {
  auto alive = [](const Call&) { return respond_json({{"status", "ok"}}); };
  auto ready = [this](const Call&) {
    if (is_ready()) return respond_json({{"status", "ok"}});
    return respond_with(error_response({503, "the server is shutting down", "", "not_ready"}));
  };
  add("GET", "/livez", alive, true, true);
  add("GET", "/health", ready, true, true);
  add("GET", "/readyz", ready, true, true);
  add("GET", "/version", [](const Call&) { return respond_json({{"version", TURGO_VERSION}}); }, false, true);
  auto models = [this](const Call&) {
    return respond_json({{"object", "list"},
                         {"data",
                          {{{"id", config_.model_name},
                            {"object", "model"},
                            {"created", 1700000000},
                            {"owned_by", "turgo"},
                            {"root", config_.model_name},
                            {"parent", nullptr},
                            {"max_model_len", pipeline_.session_len()}}}}});
  };
  add("GET", "/v1/models", models, false, true);
  add("GET", "/v1/models/" + config_.model_name, [this](const Call&) {
    return respond_json(
        {{"id", config_.model_name}, {"object", "model"}, {"created", 1700000000}, {"owned_by", "turgo"}});
  });
  auto metrics_text = [this](const Call&) {
    return respond_with({{200, "text/plain; version=0.0.4; charset=utf-8", {}},
                         metrics_.to_text(pipeline_.engine().stats())});
  };
  add("GET", "/metrics", metrics_text);
  auto post = [this](const std::string& path,
                     std::unique_ptr<Responder> (*function)(ApiServer&, const Call&)) {
    add("POST", path, [this, function](const Call& call) { return function(*this, call); });
  };
  post("/v1/chat/completions", chat_completions);
  post("/v1/completions", completions);
  post("/v1/chat/interactive", chat_interactive);
  post("/v1/encode", encode_route);
  post("/generate", generate_route);
  post("/tokenize", tokenize_route);
  post("/detokenize", detokenize_route);
}

void ApiServer::add(const std::string& method, const std::string& path, Route route, bool is_open,
                    bool is_cheap) {
  routes_[config_.api_prefix + path].push_back({method, std::move(route), is_open, is_cheap});
}

const std::vector<ApiServer::Entry>* ApiServer::find(const std::string& path) const {
  auto found = routes_.find(path);
  return found == routes_.end() ? nullptr : &found->second;
}

bool ApiServer::allows_origin(std::string_view origin) const {
  return std::any_of(config_.allow_origins.begin(), config_.allow_origins.end(),
                     [&](const std::string& one) { return one == "*" || one == origin; });
}

// A page in the browser of somebody at this machine could call a server that only listens here: its Origin
// betrays it, or, where it rebound a name to 127.0.0.1, its Host.
std::string ApiServer::check_origin(const HttpRequest& head) const {
  if (!head.from_loopback) return "";
  std::string host = host_of(head.field("host"));
  bool known_host = host.empty() || is_loopback_name(host) ||
                    std::any_of(config_.allowed_hosts.begin(), config_.allowed_hosts.end(),
                                [&](const std::string& one) { return one == "*" || one == host; });
  if (!known_host)
    return fmt::format("the Host {} is none of this machine's loopback; --allowed-hosts allows it",
                       quote(host));
  std::string_view origin = head.field("origin");
  if (!origin.empty() && !is_loopback_name(host_of(origin)) && !allows_origin(origin))
    return fmt::format("pages of {} may not call this server; --allow-origins allows it", quote(origin));
  return "";
}

bool ApiServer::has_key(const HttpRequest& head) const {
  if (config_.api_keys.empty()) return true;
  std::string given = key_of(head);
  bool found = false;
  for (const std::string& key : config_.api_keys) found |= equal_in_constant_time(given, key);
  return found;
}

HttpHandler::Admission ApiServer::admit(const HttpRequest& head) {
  auto no = [&](int status, std::string message, const char* code) {
    return Admission{error_response({status, std::move(message), "", code}), 0, false};
  };
  if (std::string wrong = check_origin(head); !wrong.empty()) return no(403, wrong, "forbidden_origin");
  if (head.method == "OPTIONS") {
    std::string_view origin = head.field("origin");
    if (origin.empty() || !allows_origin(origin))
      return no(403, "this server answers no other origin's pages", "forbidden_origin");
    HttpResponse response{{204, "", {}}, ""};
    response.head.fields = {{"Access-Control-Allow-Origin", std::string(origin)},
                            {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
                            {"Access-Control-Allow-Headers", "authorization, content-type, x-api-key"},
                            {"Vary", "Origin"}};
    return {std::move(response), 0, false};
  }
  const std::vector<Entry>* entries = find(head.path);
  const Entry* entry = nullptr;
  if (entries)
    for (const Entry& one : *entries)
      if (one.method == head.method || (one.method == "GET" && head.method == "HEAD")) entry = &one;
  // Without a key nobody learns which paths there are.
  if (!(entry && entry->is_open) && !has_key(head))
    return no(401, "a valid API key is missing; expected 'Authorization: Bearer KEY'", "invalid_api_key");
  if (!entries) return no(404, fmt::format("there is no {}", quote(head.path)), "unknown_route");
  if (!entry) {
    Admission refused =
        no(405, fmt::format("{} does not take {}", quote(head.path), quote(head.method)), "wrong_method");
    refused.refusal->head.fields.emplace_back("Allow", entries->front().method);
    return refused;
  }
  if (entry->method == "POST") {
    std::string_view type = head.field("content-type");
    std::string_view media = type.substr(0, type.find(';'));
    if (!type.empty() && media != "application/json" && !media.ends_with("+json"))
      return no(415, fmt::format("Content-Type: expected application/json, got {}", quote(type)),
                "unsupported_media_type");
    std::string_view coding = head.field("content-encoding");
    if (!coding.empty() && coding != "identity")
      return no(415, fmt::format("Content-Encoding: expected none, got {}", quote(coding)),
                "unsupported_encoding");
  }
  return {std::nullopt, entry->method == "POST" ? config_.max_body : 0, entry->is_cheap};
}

namespace {

// Adds CORS headers to what another responder writes.
class CorsWriter : public HttpWriter {
 public:
  CorsWriter(HttpWriter& out, std::string origin) : out_(out), origin_(std::move(origin)) {}
  void respond(HttpResponse response) override {
    add(response.head);
    out_.respond(std::move(response));
  }
  void begin(HttpHead head) override {
    add(head);
    out_.begin(std::move(head));
  }
  void write(std::string_view text) override { out_.write(text); }

 private:
  void add(HttpHead& head) const {
    head.fields.emplace_back("Access-Control-Allow-Origin", origin_);
    head.fields.emplace_back("Vary", "Origin");
  }
  HttpWriter& out_;
  std::string origin_;
};

class CorsResponder : public Responder {
 public:
  CorsResponder(std::unique_ptr<Responder> inner, std::string origin)
      : inner_(std::move(inner)), origin_(std::move(origin)) {}
  void start(std::function<void()> wake) override { inner_->start(std::move(wake)); }
  bool advance(HttpWriter& out) override {
    CorsWriter writer(out, origin_);
    return inner_->advance(writer);
  }

 private:
  std::unique_ptr<Responder> inner_;
  std::string origin_;
};

}  // namespace

std::unique_ptr<Responder> ApiServer::handle(HttpRequest request) {
  std::unique_ptr<Responder> responder;
  const std::vector<Entry>* entries = find(request.path);
  CHECK(entries != nullptr);
  try {
    for (const Entry& entry : *entries)
      if (entry.method == request.method || (entry.method == "GET" && request.method == "HEAD"))
        responder = entry.route({request, config_.api_keys.empty() ? "" : key_of(request)});
  } catch (const ApiError& error) {
    responder = respond_with(error_response(error));
  } catch (const Error& error) {
    responder = respond_with(error_response(to_api_error(error, false)));
  }
  std::string origin(request.field("origin"));
  if (origin.empty() || !allows_origin(origin)) return responder;
  return std::make_unique<CorsResponder>(std::move(responder), std::move(origin));
}

HttpResponse ApiServer::refuse(int status, const std::string& reason) {
  return error_response({status, reason, "", "bad_request"});
}

void ApiServer::finished(const HttpLogEntry& entry) {
  bool known = find(entry.path) != nullptr;
  metrics_.count_http(known ? entry.path : "other", entry.status);
  log_info("{} {} {} {} bytes {:.3f} s{}", entry.method, quote(entry.path), entry.status, entry.bytes,
           entry.seconds, entry.aborted ? " (the client left)" : "");
}

void ApiServer::check_model(Fields& fields) const {
  std::string model;
  fields.text("model", model);
  if (model.empty() || model == config_.model_name) return;
  throw ApiError(404,
                 fmt::format("the model {} is not served here; '{}' is", quote(model), config_.model_name),
                 "model", "model_not_found");
}

Choice ApiServer::submit(std::vector<int32_t> ids, GenerationConfig config, const SessionRef& session,
                         bool is_chat, const std::string& param) {
  config.max_seconds = config_.timeout;
  try {
    TextStream stream = is_chat ? pipeline_.chat_from(std::move(ids), config, session)
                                : pipeline_.generate_from(std::move(ids), config, session);
    return {std::move(stream), 0, "", {}, FinishReason::kNone, {}};
  } catch (const Error& error) {
    ApiError out = to_api_error(error, true);
    if (error.code() == ErrorCode::kTooLong || out.param == "input_ids") out.param = param;
    throw out;
  }
}

}  // namespace turgo
