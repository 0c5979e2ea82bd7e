// What the distributor counts, in Prometheus' text format.
#include <fmt/format.h>

#include "serve/proxy/proxy_server.h"

namespace turgo {
namespace {

std::string label(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

}  // namespace

std::string ProxyServer::metrics_text() const {
  std::string out;
  auto head = [&](const char* name, const char* type, const char* help) {
    out += fmt::format("# HELP turgo:proxy_{0} {2}\n# TYPE turgo:proxy_{0} {1}\n", name, type, help);
  };
  auto one = [&](const char* name, const char* type, const char* help, auto value) {
    head(name, type, help);
    out += fmt::format("turgo:proxy_{} {}\n", name, value);
  };
  auto per_node = [&](const char* name, const char* type, const char* help, auto value_of) {
    head(name, type, help);
    for (const auto& node : table_.nodes())
      out += fmt::format("turgo:proxy_{}{{node=\"{}\"}} {}\n", name, label(node->spec.url), value_of(*node));
  };
  head("answers_total", "counter", "Answers to clients by model and status");
  for (const auto& [key, count] : metrics_.answers)
    out += fmt::format("turgo:proxy_answers_total{{model_name=\"{}\",status=\"{}\"}} {}\n", label(key.first),
                       key.second, count);
  one("retries_total", "counter", "Requests sent to another node", metrics_.num_retries);
  one("broken_streams_total", "counter", "Streams that ended with an error event",
      metrics_.num_broken_streams);
  one("wrong_models_total", "counter", "Answers of another model than was asked for",
      metrics_.num_wrong_models);
  one("refused_operators_total", "counter", "Requests to /nodes without the operator's key",
      num_refused_keys_);
  one("state_saved", "gauge", "Whether the node table on disk is the one in use", is_saved_ ? 1 : 0);
  one("sessions", "gauge", "Sessions that are bound to a node", table_.sessions().size());
  per_node("node_up", "gauge", "Whether a node gets requests",
           [](const Node& n) { return n.state == NodeState::kDown ? 0 : 1; });
  per_node("node_draining", "gauge", "Whether a node gets nothing new",
           [](const Node& n) { return n.is_draining ? 1 : 0; });
  per_node("node_requests_running", "gauge", "Requests that a node answers now",
           [](const Node& n) { return n.in_flight; });
  per_node("node_requests_total", "counter", "Requests sent to a node",
           [](const Node& n) { return n.num_requests; });
  per_node("node_failures_total", "counter", "Requests that a node failed on",
           [](const Node& n) { return n.num_failures; });
  per_node("node_ejections_total", "counter", "Times that a node was taken out",
           [](const Node& n) { return n.num_ejections; });
  return out;
}

}  // namespace turgo
