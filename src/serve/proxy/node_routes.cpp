// The operator's routes: /nodes/status, add, remove, drain, terminate, terminate_all, as LMDeploy has them.
#include <algorithm>

#include "core/log.h"
#include "serve/api_error.h"
#include "serve/api_server.h"
#include "serve/fields.h"
#include "serve/proxy/proxy_live.h"

namespace turgo {
namespace {

constexpr double kAskSeconds = 5;
constexpr size_t kMaxAnswer = 1 << 20;

// LMDeploy takes ?node_url=, a JSON text and {"url"}.
std::string node_url_of(const Call& call) {
  std::string query = "&" + call.request.query;
  if (size_t at = query.find("&node_url="); at != std::string::npos) {
    std::string raw = query.substr(at + 10), url;
    raw = raw.substr(0, raw.find('&'));
    for (size_t i = 0; i < raw.size(); ++i) {
      bool is_escape = raw[i] == '%' && i + 2 < raw.size() &&
                       std::isxdigit(static_cast<unsigned char>(raw[i + 1])) &&
                       std::isxdigit(static_cast<unsigned char>(raw[i + 2]));
      url += is_escape ? static_cast<char>(std::stoi(raw.substr(i + 1, 2), nullptr, 16)) : raw[i];
      i += is_escape ? 2 : 0;
    }
    return url;
  }
  if (call.request.body.empty()) bad_field("node_url", "is missing");
  Json body = parse_json(call.request.body, "the request's body", 8);
  if (body.is_object())
    for (const char* name : {"url", "node_url"})
      if (body.contains(name) && body[name].is_string()) return body[name].get<std::string>();
  if (body.is_string()) return body.get<std::string>();
  bad_field("node_url", "expected a node's address as http://HOST:PORT");
}

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

NodeSpec read_spec(const Json& body) {
  NodeSpec spec;
  Fields fields(body);
  fields.text("url", spec.url);
  spec.url = without_slash(spec.url);
  fields.number("heartbeat_seconds", spec.heartbeat_seconds, 0, 3600);
  if (const Json* status = fields.take("status")) {
    Fields inner(*status, "status.");
    inner.texts("models", spec.declared_models);
    inner.number("speed", spec.speed, 0, 1e9);
    inner.harmless({"unfinished", "latency", "role"});
    inner.finish();
  }
  fields.finish();
  if (spec.declared_models.size() > 1000) bad_field("status.models", "expected at most 1000 names");
  try {
    parse_server_url(spec.url);
  } catch (const Error& error) {
    throw ApiError(400, error.what(), "url", "invalid_value");
  }
  return spec;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string out;
  for (size_t i = 0; i < names.size() && i < 10; ++i) out += (i ? ", " : "") + quote(names[i]);
  return out.empty() ? "no model" : out;
}

}  // namespace

// Asks a node something, then does something about it, then answers, perhaps after the state file is written.
class ProxyServer::Asking : public Responder {
 public:
  using Next = std::function<void(Asking&)>;
  Asking(ProxyServer& proxy, std::shared_ptr<Node> node, UpstreamCall::Request request, Next next)
      : proxy_(proxy), node_(std::move(node)), request_(std::move(request)), next_(std::move(next)) {
    request_.silence_seconds = kAskSeconds;
  }
  ~Asking() override {
    if (!call_) return;
    call_->abandon();
    if (proxy_.live_ && !proxy_.table_.by_id(node_->id)) proxy_.live_->pool.forget(node_->id);
  }

  void start(std::function<void()> wake) override {
    wake_ = std::move(wake);
    if (!node_) return next_(*this);
    call_ = proxy_.live_->pool.call(node_, std::move(request_), wake_);
  }

  bool advance(HttpWriter& out) override {
    if (call_ && !asked_) {
      body += call_->take();
      bool has_failed = call_->failure() != UpstreamFailure::kNone || body.size() > kMaxAnswer;
      if (!call_->is_done() && !has_failed) return false;
      asked_ = true;
      error = call_->failure() != UpstreamFailure::kNone ? call_->why()
              : has_failed                               ? "its answer is too long"
                                                         : "";
      status = error.empty() ? call_->status() : 0;
      next_(*this);
    }
    if (!*answer_) return false;
    out.respond(std::move(**answer_));
    return true;
  }

  void respond(HttpResponse response) {
    *answer_ = std::move(response);
    wake_();
  }
  void respond(const ApiError& wrong) { respond(error_response(wrong)); }
  // The answer is that the node table on disk holds the change, or why it does not.
  void respond_when_saved(Json good) {
    proxy_.save([answer = answer_, wake = wake_, good = std::move(good)](const std::string& wrong) {
      if (wrong.empty())
        *answer = HttpResponse{{}, dump_json(good)};
      else
        *answer = error_response({500, "done, but not kept over a restart: " + wrong, "", "state_not_saved"});
      wake();
    });
  }

  int status = 0;           // of the node's answer, 0 = there is none
  std::string body, error;  // of it

 private:
  ProxyServer& proxy_;
  std::shared_ptr<Node> node_;
  UpstreamCall::Request request_;
  Next next_;
  std::function<void()> wake_;
  std::shared_ptr<UpstreamCall> call_;
  std::shared_ptr<std::optional<HttpResponse>> answer_ = std::make_shared<std::optional<HttpResponse>>();
  bool asked_ = false;
};

// A node is asked for its models before it is one: what does not answer, or serves something else, is
// refused.
std::unique_ptr<Responder> ProxyServer::add_node(const Call& call) {
  NodeSpec spec = read_spec(parse_body(call.request.body));
  if (auto known = table_.find(spec.url);
      known && known->state != NodeState::kDown && !known->models.empty() &&
      known->spec.declared_models == spec.declared_models && known->spec.speed == spec.speed) {
    known->last_heartbeat = UpstreamPool::now();
    known->spec.heartbeat_seconds = spec.heartbeat_seconds;
    return respond_json({{"success", true}, {"models", known->models}});
  }
  auto candidate = table_.make(spec);
  return std::make_unique<Asking>(
      *this, candidate, models_request(config_.node_api_key), [this, spec](Asking& asking) {
        std::string shown_url = quote(spec.url, 200);
        if (asking.status == 401 || asking.status == 403)
          return asking.respond(
              ApiError(400, shown_url + " wants a key: start the distributor with --node-api-key", "url",
                       "node_refused"));
        if (asking.status != 200)
          return asking.respond(
              ApiError(400,
                       fmt::format("{} is no server: {}", shown_url,
                                   asking.status ? fmt::format("/v1/models answered {}", asking.status)
                                                 : asking.error),
                       "url", "node_unreachable"));
        std::vector<std::string> served;
        try {
          served = read_model_list(asking.body);
        } catch (const Error& error) {
          return asking.respond(ApiError(400, error.what(), "url", "node_refused"));
        }
        for (const std::string& name : spec.declared_models)
          if (std::find(served.begin(), served.end(), name) == served.end())
            return asking.respond(ApiError(
                400,
                fmt::format("{} does not serve {}; it serves {}", shown_url, quote(name), list_of(served)),
                "status.models", "wrong_model"));
        auto node = table_.add(spec, UpstreamPool::now());
        live_->checker.set_models(*node, served);
        node->wants_models = false;
        if (node->state == NodeState::kDown && node->ejections == 0)
          node->state = NodeState::kUp;  // it has just answered
        log_info("{} is added: {}", spec.url, list_of(node->models));
        asking.respond_when_saved({{"success", true}, {"models", node->models}});
      });
}

std::unique_ptr<Responder> ProxyServer::drain_node(const Call& call) {
  std::string url = without_slash(node_url_of(call));
  auto node = table_.find(url);
  if (!node) throw ApiError(404, "there is no node " + quote(url, 200), "url", "not_found");
  bool drains = true;
  if (!call.request.body.empty())
    if (Json body = parse_json(call.request.body, "the request's body", 8);
        body.is_object() && body.contains("drain"))
      drains = body["drain"].is_boolean() ? body["drain"].get<bool>()
                                          : (bad_field("drain", "expected true or false"), true);
  node->is_draining = drains;
  return std::make_unique<Asking>(*this, nullptr, UpstreamCall::Request{}, [node](Asking& asking) {
    asking.respond_when_saved(
        {{"success", true}, {"draining", node->is_draining}, {"unfinished", node->in_flight}});
  });
}

// Asks the first node to end itself and forgets it, then the others.
std::unique_ptr<Responder> ProxyServer::terminate_nodes(const std::vector<std::string>& urls) {
  if (urls.empty()) return respond_json({{"success", true}});
  auto node = table_.find(urls.front());
  if (!node) throw ApiError(404, "there is no node " + quote(urls.front(), 200), "node_url", "not_found");
  UpstreamCall::Request request = models_request(config_.node_api_key);
  request.target = "/terminate";
  auto rest = std::vector<std::string>(urls.begin() + 1, urls.end());
  // The others are asked without waiting for them.
  for (const std::string& url : rest)
    if (auto other = table_.find(url)) {
      auto call = std::make_shared<std::shared_ptr<UpstreamCall>>();
      UpstreamCall::Request copy = request;
      copy.silence_seconds = kAskSeconds;
      *call = live_->pool.call(other, copy, [pool = &live_->pool, call] {
        if (*call && ((*call)->is_done() || (*call)->failure() != UpstreamFailure::kNone))
          pool->post([call] { call->reset(); });
      });
      remove_node(url);
    }
  return std::make_unique<Asking>(*this, node, std::move(request), [this, node](Asking& asking) {
    remove_node(node->spec.url);
    if (asking.status == 200) return asking.respond_when_saved({{"success", true}});
    asking.respond(ApiError(
        502,
        fmt::format("{} is removed, but it does not end itself: {}", quote(node->spec.url, 200),
                    asking.status ? fmt::format("/terminate answered {}", asking.status) : asking.error),
        "node_url", "node_refused"));
  });
}

Json ProxyServer::status_json() const {
  Json out = Json::object();
  double now = UpstreamPool::now();
  for (const auto& node : table_.nodes()) {
    Json latency = Json::array();
    for (const Latencies& seen : node->latencies)
      for (double seconds : seen.last) latency.push_back(seconds);
    out[node->spec.url] = {{"role", "Hybrid"},
                           {"models", node->models},
                           {"unfinished", node->in_flight},
                           {"latency", std::move(latency)},
                           {"speed", node->spec.speed > 0 ? Json(node->spec.speed) : Json(nullptr)},
                           {"state", node_state_name(node->state)},
                           {"draining", node->is_draining},
                           {"down_seconds", node->state == NodeState::kDown ? now - node->down_since : 0},
                           {"requests", node->num_requests},
                           {"failures", node->num_failures},
                           {"ejections", node->num_ejections}};
  }
  return out;
}

void ProxyServer::add_node_routes() {
  own("GET", "/nodes/status", [this](const Call&) { return respond_json(status_json()); }, "The nodes");
  own("POST", "/nodes/add", [this](const Call& call) { return add_node(call); }, "Add a node");
  own(
      "POST", "/nodes/drain", [this](const Call& call) { return drain_node(call); },
      "Give a node nothing new; with \"drain\": false again");
  own(
      "POST", "/nodes/remove",
      [this](const Call& call) -> std::unique_ptr<Responder> {
        std::string url = without_slash(node_url_of(call));
        if (!remove_node(url)) throw ApiError(404, "there is no node " + quote(url, 200), "url", "not_found");
        return std::make_unique<Asking>(*this, nullptr, UpstreamCall::Request{}, [](Asking& asking) {
          asking.respond_when_saved({{"success", true}});
        });
      },
      "Forget a node; what it answers ends well");
  own(
      "POST", "/nodes/terminate",
      [this](const Call& call) { return terminate_nodes({without_slash(node_url_of(call))}); },
      "End a node's server and forget it");
  own(
      "GET", "/nodes/terminate_all",
      [this](const Call&) {
        std::vector<std::string> urls;
        for (const auto& node : table_.nodes()) urls.push_back(node->spec.url);
        return terminate_nodes(urls);
      },
      "End all nodes' servers");
}

}  // namespace turgo
