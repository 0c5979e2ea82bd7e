#include "serve/proxy/proxy_server.h"

#include <ctime>
#include <set>

#include "core/log.h"
#include "serve/api_error.h"
#include "serve/api_server.h"
#include "serve/fields.h"
#include "serve/http/http_io.h"
#include "serve/proxy/proxy_live.h"

namespace turgo {
namespace {

constexpr size_t kCheapBody = 64 << 10;  // read on the I/O thread: about a millisecond
constexpr double kSaveSeconds = 2;       // between two writes for sessions alone
constexpr double kForgetSeconds = 90;    // a node that registers itself and is neither up nor heard of

// What goes to a node. Nothing of an operator's (sleep, load, unload, metrics) is reached from outside.
const std::set<std::string> kForwarded = {"/v1/chat/completions",
                                          "/chat/completions",
                                          "/v1/completions",
                                          "/v1/embeddings",
                                          "/v1/responses",
                                          "/v1/messages",
                                          "/v1/messages/count_tokens",
                                          "/v1/chat/interactive",
                                          "/v1/encode",
                                          "/generate",
                                          "/tokenize",
                                          "/detokenize",
                                          "/infill",
                                          "/api/chat",
                                          "/api/generate",
                                          "/api/embed",
                                          "/api/embeddings",
                                          "/api/show"};

// Nodes that see one key for all callers see their sessions under names that no other caller has.
std::string private_session(uint64_t session) {
  return std::to_string(session >> 12);
}

bool is_operators(const std::string& path) {
  return path == "/nodes" || path.starts_with("/nodes/");
}

}  // namespace

ProxyServer::ProxyServer(ProxyConfig config)
    : config_(std::move(config)),
      keys_(config_.api_keys, config_.api_keys_file),
      access_(config_.access),
      table_(config_.table),
      state_file_(config_.state_file),
      started_(std::time(nullptr)) {
  config_.health.node_api_key = config_.node_api_key;
  for (const std::string& url : config_.nodes) {
    NodeSpec spec;
    spec.url = url;
    spec.is_fixed = true;
    table_.add(std::move(spec), UpstreamPool::now());
  }
  restore();
  add_routes();
  add_node_routes();
}

ProxyServer::~ProxyServer() = default;

void ProxyServer::attach(HttpServer& server) {
  server_ = &server;
  live_ = std::make_unique<Live>(*this, io_context_of(server));
  live_->pool.start_ticking([this] { tick(); });
}

void ProxyServer::detach() {
  state_file_.finish();
  server_ = nullptr;
  live_.reset();
  try {
    state_file_.write_now(snapshot());
  } catch (const Error& error) {
    log_line(LogLevel::kError, error.what());
  }
}

HttpHandler::Admission ProxyServer::admit(const HttpRequest& head) {
  auto no = [&](int status, std::string message, const char* code) {
    return Admission{error_response({status, std::move(message), "", code}), 0, false};
  };
  if (std::string wrong = access_.check_origin(head); !wrong.empty())
    return no(403, wrong, "forbidden_origin");
  if (head.method == "OPTIONS") return {access_.preflight(head), 0, false};
  bool is_forwarded = kForwarded.contains(head.path);
  RouteTable::Match found = routes_.match(head.path);
  const RouteTable::Entry* entry = found.find(head.method);
  std::shared_ptr<ApiKey> key;
  if (is_operators(head.path)) {
    if (config_.operator_key.empty())
      return no(403, "nodes can not be managed here: the distributor was started without --operator-key",
                "no_operator_key");
    if (!equal_in_constant_time(key_of(head), config_.operator_key)) {
      ++num_refused_keys_;
      return no(401, "the operator's key is missing; expected 'Authorization: Bearer KEY'",
                "invalid_api_key");
    }
  } else {
    key = keys_.find(key_of(head));
    if (!(entry && entry->info.is_open) && !key && !keys_.is_open())
      return no(401, "a valid API key is missing; expected 'Authorization: Bearer KEY'", "invalid_api_key");
  }
  if (is_forwarded ? head.method != "POST" : found.entries && !entry) {
    Admission refused =
        no(405, fmt::format("{} does not take {}", quote(head.path), quote(head.method)), "wrong_method");
    refused.refusal->head.fields.emplace_back("Allow", is_forwarded ? "POST" : found.allowed());
    return refused;
  }
  if (!is_forwarded && !entry)
    return no(404, fmt::format("there is no {}", quote(head.path)), "unknown_route");
  if (double wait = is_forwarded && key ? keys_.admit(*key) : 0; wait > 0) {
    ApiError error(429, "this key's rate is used up; try again later", "", "rate_limit_exceeded");
    error.retry_after = wait;
    return {error_response(error), 0, false};
  }
  std::string_view length = head.field("content-length");
  bool is_small =
      length.size() <= 5 && std::atoi(std::string(length).c_str()) <= static_cast<int>(kCheapBody);
  bool is_chunked = head.count_fields("transfer-encoding") > 0;
  // All but large bodies are read on the I/O thread: no other thread ever touches the table.
  return {std::nullopt, is_forwarded ? config_.max_body : kCheapBody,
          !is_forwarded || (is_small && !is_chunked)};
}

std::unique_ptr<Responder> ProxyServer::handle(HttpRequest request) {
  std::unique_ptr<Responder> responder;
  HttpRequest head;  // what is left for the answer's CORS fields
  if (std::string_view origin = request.field("origin"); !origin.empty())
    head.fields.emplace_back("origin", std::string(origin));
  try {
    if (kForwarded.contains(request.path)) {
      RequestFacts facts = read_request_facts(request);
      if (!config_.node_api_key.empty() && request.path == "/v1/chat/interactive" && facts.session) {
        Json body = parse_body(request.body);
        body["session_id"] = facts.session >> 12;
        request.body = dump_json(body);
      }
      responder = forward(live_->forwarding, std::move(request), std::move(facts));
    } else {
      RouteTable::Match found = routes_.match(request.path);
      const RouteTable::Entry* entry = found.find(request.method);
      CHECK(entry != nullptr);
      responder = entry->route({request, "", std::move(found.params)});
    }
  } catch (const ApiError& error) {
    responder = respond_with(error_response(error));
  } catch (const Error& error) {
    responder = respond_with(error_response(to_api_error(error, false)));
  }
  return access_.open_to_origin(std::move(responder), head);
}

HttpResponse ProxyServer::refuse(int status, const std::string& reason) {
  return error_response({status, reason, "", "bad_request"});
}

void ProxyServer::finished(const HttpLogEntry& entry) {
  log_info("{} {} {} {} bytes {:.3f} s{}", entry.method, quote(entry.path), entry.status, entry.bytes,
           entry.seconds, entry.aborted ? " (the client left)" : "");
}

void ProxyServer::own(const char* method, const std::string& path, Route route, const char* summary,
                      bool is_open) {
  routes_.add(method, path, std::move(route), {is_open, true, summary});
}

// A stored answer or a session: on the node that made it, or nowhere.
std::unique_ptr<Responder> ProxyServer::forward_to_holder(HttpRequest request) {
  bool is_response = request.path.starts_with("/v1/responses/");
  std::string id = request.path.substr(request.path.rfind('/') + 1);
  RequestFacts facts;
  facts.caller = key_of(request);
  facts.session = session_key(is_response ? "response" : "interactive", id, facts.caller);
  facts.ends_session = request.method == "DELETE";
  std::shared_ptr<Node> holder = table_.node_of_session(facts.session);
  if (!holder)
    throw ApiError(404, fmt::format("there is no {} {}", is_response ? "response" : "session", quote(id)), "",
                   "not_found");
  if (!config_.node_api_key.empty() && !is_response)
    request.target = "/v1/sessions/" + private_session(facts.session);
  return forward(live_->forwarding, std::move(request), std::move(facts), holder);
}

void ProxyServer::add_routes() {
  own(
      "GET", "/livez", [](const Call&) { return respond_json({{"status", "ok"}}); },
      "Whether the process lives", true);
  auto ready = [this](const Call&) {
    if (server_ && server_->draining())
      return respond_with(error_response({503, "the distributor is shutting down", "", "not_ready"}));
    for (const auto& node : table_.nodes())
      if (node->state != NodeState::kDown && !node->models.empty()) return respond_json({{"status", "ok"}});
    return respond_with(error_response({503, "no server is up", "", "no_node"}));
  };
  own("GET", "/health", ready, "Whether requests are taken", true);
  own("GET", "/readyz", ready, "Whether requests are taken", true);
  own(
      "GET", "/version", [](const Call&) { return respond_json({{"version", TURGO_VERSION}}); },
      "The program's version");
  own(
      "GET", "/metrics",
      [this](const Call&) {
        return respond_with({{200, "text/plain; version=0.0.4; charset=utf-8", {}}, metrics_text()});
      },
      "Counters in Prometheus' text format");
  auto model = [this](const std::string& name) -> Json {
    return {{"id", name},          {"object", "model"}, {"created", started_},
            {"owned_by", "turgo"}, {"root", name},      {"parent", nullptr}};
  };
  own(
      "GET", "/v1/models",
      [this, model](const Call&) {
        Json data = Json::array();
        for (const std::string& name : table_.models()) data.push_back(model(name));
        return respond_json({{"object", "list"}, {"data", std::move(data)}});
      },
      "The models of all nodes");
  own(
      "GET", "/v1/models/{id*}",
      [this, model](const Call& call) {
        for (const std::string& name : table_.models())
          if (name == call.params[0]) return respond_json(model(name));
        throw ApiError(404, fmt::format("the model {} is not served here", quote(call.params[0])), "model",
                       "model_not_found");
      },
      "One model");
  own(
      "GET", "/api/tags",
      [this](const Call&) {
        Json list = Json::array();
        for (const std::string& name : table_.models())
          list.push_back({{"name", name + ":latest"}, {"model", name + ":latest"}});
        return respond_json({{"models", std::move(list)}});
      },
      "The models of all nodes, as Ollama lists them");
  for (const char* path : {"/v1/responses/{id}", "/v1/sessions/{id}"})
    for (const char* method : {"GET", "DELETE"})
      own(
          method, path, [this](const Call& call) { return forward_to_holder(call.request); },
          "What one node keeps");
}

void ProxyServer::restore() {
  std::string text = state_file_.read();
  if (text.empty()) return;
  std::string where = quote(state_file_.path(), 200);
  double now = UpstreamPool::now();
  try {
    Json state = parse_json(text, where, 8);
    std::vector<std::shared_ptr<Node>> order;  // null: one that the command line does not name any more
    for (const Json& one : state.at("nodes")) {
      NodeSpec spec;
      spec.url = one.at("url").get<std::string>();
      spec.declared_models = one.at("declared_models").get<std::vector<std::string>>();
      spec.speed = one.at("speed").get<double>();
      spec.heartbeat_seconds = one.at("heartbeat_seconds").get<double>();
      bool was_fixed = one.at("is_fixed").get<bool>();
      std::shared_ptr<Node> node = order.emplace_back(table_.find(spec.url));
      if (!node && !was_fixed) node = order.back() = table_.add(std::move(spec), now);
      if (!node) continue;
      node->models = one.at("models").get<std::vector<std::string>>();
      node->is_draining = one.at("is_draining").get<bool>();
    }
    for (const Json& pin : state.at("sessions")) {
      auto at = pin.at(1).get<size_t>();
      if (at < order.size() && order[at]) table_.pin_session(pin.at(0).get<uint64_t>(), *order[at]);
    }
  } catch (const Error& error) {
    fail(ErrorCode::kCorrupt, "{}; move the file away to start without nodes", error.what());
  } catch (const Json::exception&) {
    fail(ErrorCode::kCorrupt,
         "{}: expected a node table as this program writes it; move the file away to start without nodes",
         where);
  }
  saved_sessions_ = table_.sessions_version();
}

std::string ProxyServer::snapshot() const {
  Json nodes = Json::array(), sessions = Json::array();
  std::map<NodeId, size_t> places;
  for (const auto& node : table_.nodes()) {
    places[node->id] = nodes.size();
    nodes.push_back({{"url", node->spec.url},
                     {"declared_models", node->spec.declared_models},
                     {"speed", node->spec.speed},
                     {"heartbeat_seconds", node->spec.heartbeat_seconds},
                     {"is_fixed", node->spec.is_fixed},
                     {"models", node->models},
                     {"is_draining", node->is_draining}});
  }
  const auto& pins = table_.sessions().entries();
  for (auto it = pins.rbegin(); it != pins.rend(); ++it)  // the oldest first, as they came
    if (auto place = places.find(it->second); place != places.end())
      sessions.push_back({it->first, place->second});
  return Json{{"nodes", std::move(nodes)}, {"sessions", std::move(sessions)}}.dump() + "\n";
}

// On the I/O thread; so is `done`.
void ProxyServer::save(StateFile::Done done) {
  if (state_file_.path().empty()) {
    if (done) done("");
    return;
  }
  is_dirty_ = false;
  saved_sessions_ = table_.sessions_version();
  next_save_ = UpstreamPool::now() + kSaveSeconds;
  state_file_.write(
      snapshot(), [this, done = std::move(done), pool = &live_->pool](const std::string& error) {
        pool->post([this, done, error] {
          if (!error.empty() && is_saved_)
            log_line(LogLevel::kError, error + "; the node table is kept in memory and written later");
          is_saved_ = error.empty();
          is_dirty_ = is_dirty_ || !is_saved_;
          if (done) done(error);
        });
      });
}

void ProxyServer::tick() {
  double now = UpstreamPool::now();
  live_->checker.tick(now);
  for (const auto& node : std::vector(table_.nodes()))
    if (node->spec.heartbeat_seconds > 0 && node->state == NodeState::kDown &&
        now - node->last_heartbeat > std::max(kForgetSeconds, 9 * node->spec.heartbeat_seconds)) {
      log_warning("{} is forgotten: it neither answers nor registers any more", node->spec.url);
      remove_node(node->spec.url);
    }
  bool has_news = is_dirty_ || saved_sessions_ != table_.sessions_version();
  if (has_news && now >= next_save_) save();
}

bool ProxyServer::remove_node(const std::string& url) {
  std::shared_ptr<Node> node = table_.find(url);
  if (!node) return false;
  table_.remove(url);
  if (live_) live_->pool.forget(node->id);
  is_dirty_ = true;
  return true;
}

}  // namespace turgo
