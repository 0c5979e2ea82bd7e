#include "serve/proxy/health_checker.h"

#include <algorithm>

#include "core/error.h"
#include "core/json.h"
#include "core/log.h"

namespace turgo {
namespace {

constexpr size_t kMaxModels = 1000, kMaxName = 512, kMaxBody = 1 << 20;

}  // namespace

std::vector<std::string> read_model_list(const std::string& body) {
  Json json = parse_json(body, "the node's /v1/models", 16);
  auto data = json.is_object() ? json.find("data") : json.end();
  if (!json.is_object() || data == json.end() || !data->is_array() || data->size() > kMaxModels)
    fail(ErrorCode::kCorrupt, "the node's /v1/models: expected {{\"data\": [{{\"id\": …}}]}}");
  std::vector<std::string> out;
  for (const Json& one : *data)
    if (one.is_object() && one.contains("id") && one["id"].is_string())
      if (auto id = one["id"].get<std::string>(); !id.empty() && id.size() <= kMaxName) out.push_back(id);
  return out;
}

UpstreamCall::Request models_request(const std::string& node_api_key) {
  UpstreamCall::Request request{"GET", "/v1/models", {{"Accept", "application/json"}}, nullptr, true};
  if (!node_api_key.empty()) request.fields.emplace_back("Authorization", "Bearer " + node_api_key);
  return request;
}

void HealthChecker::set_models(Node& node, std::vector<std::string> served) {
  std::vector<std::string> models;
  if (node.spec.declared_models.empty()) {
    models = std::move(served);
  } else {
    for (const std::string& name : node.spec.declared_models) {
      if (std::find(served.begin(), served.end(), name) != served.end())
        models.push_back(name);
      else if (node.models.empty() || node.serves(name))
        log_warning("{} does not serve {} any more: it gets no requests for it", node.spec.url, quote(name));
    }
  }
  if (models == node.models) return;
  node.models = std::move(models);
  changed_();
}

void HealthChecker::send(Node& node, Probe& probe, const std::shared_ptr<Node>& shared, double now) {
  probe.asks_models =
      node.state == NodeState::kDown || node.models.empty() || node.wants_models || now >= probe.next_models;
  UpstreamCall::Request request = models_request(config_.node_api_key);
  if (!probe.asks_models) request.target = "/health";
  probe.sent = now;
  probe.body.clear();
  probe.call = pool_.call(shared, std::move(request), [] {});  // tick() looks
}

bool HealthChecker::judge(Node& node, Probe& probe) {
  int status = probe.call->status();
  if (!probe.asks_models) return status < 500;  // a server without /health lives too
  if (status == 401 || status == 403) {
    if (node.models.empty() && !node.spec.declared_models.empty()) {
      node.models = node.spec.declared_models;
      changed_();
    }
    if (node.models.empty() && node.wants_models)
      log_warning("{} wants a key to tell its models: --node-api-key", node.spec.url);
    node.wants_models = false;
    return !node.models.empty();
  }
  if (status != 200) return false;
  try {
    set_models(node, read_model_list(probe.body));
  } catch (const Error& error) {
    log_warning("{}: {}", node.spec.url, error.what());
    return false;
  }
  node.wants_models = false;
  return true;
}

void HealthChecker::tick(double now) {
  std::erase_if(probes_, [&](const auto& entry) { return !table_.by_id(entry.first); });
  for (const std::shared_ptr<Node>& shared : std::vector(table_.nodes())) {
    Node& node = *shared;
    Probe& probe = probes_[node.id];
    if (probe.call) {
      probe.body += probe.call->take();
      bool is_late = now - probe.sent > config_.timeout;
      bool has_failed = probe.call->failure() != UpstreamFailure::kNone || probe.body.size() > kMaxBody;
      if (!probe.call->is_done() && !is_late && !has_failed) continue;
      bool is_good = probe.call->is_done() && !has_failed && judge(node, probe);
      bool is_timeout = !probe.call->is_done() && !has_failed;
      table_.probed(node, is_good, is_timeout, probe.sent, now);
      if (is_good && probe.asks_models) probe.next_models = now + config_.models_interval;
      probe.call->abandon();
      probe.call = nullptr;
      // A failure is looked into at once, a node that is down as often as one that is up.
      bool again = !is_good && node.state != NodeState::kDown && is_timeout;
      probe.next = again ? now : std::max(now, probe.sent + config_.interval);
    }
    bool is_asked = node.wants_models && node.state != NodeState::kDown && now - probe.sent > 0.2;
    if (!probe.call && (now >= probe.next || is_asked)) send(node, probe, shared, now);
    if (node.state != probe.state) log_warning("{} is {}", node.spec.url, node_state_name(node.state));
    probe.state = node.state;
  }
}

}  // namespace turgo
