// Asks every node now and then whether it lives and what it serves, and tells the table. A node that is down,
// or whose models are not known, is asked for its models: it gets traffic for what it has shown to serve.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "serve/proxy/node_table.h"
#include "serve/proxy/upstream.h"

namespace turgo {

struct HealthConfig {
  double interval = 0.5, timeout = 1;  // seconds
  double models_interval = 5;
  std::string node_api_key;
};

// The ids in the answer to GET /v1/models. Throws Error{kCorrupt} for anything else.
std::vector<std::string> read_model_list(const std::string& body);
UpstreamCall::Request models_request(const std::string& node_api_key);

class HealthChecker {
 public:
  // `changed`: a node's models are others now.
  HealthChecker(NodeTable& table, UpstreamPool& pool, HealthConfig config, std::function<void()> changed)
      : table_(table), pool_(pool), config_(std::move(config)), changed_(std::move(changed)) {}

  void tick(double now);  // often: a tenth of the interval or so
  // What a node serves and may serve; the rest of what it declared is warned of.
  void set_models(Node& node, std::vector<std::string> served);

 private:
  struct Probe {
    std::shared_ptr<UpstreamCall> call;  // null: none on its way
    bool asks_models = false;
    double sent = -1, next = 0, next_models = 0;
    NodeState state = NodeState::kUp;  // as it was told last
    std::string body;
  };
  void send(Node& node, Probe& probe, const std::shared_ptr<Node>& shared, double now);
  // Whether the probe's answer is a good one.
  bool judge(Node& node, Probe& probe);

  NodeTable& table_;
  UpstreamPool& pool_;
  HealthConfig config_;
  std::function<void()> changed_;
  std::map<NodeId, Probe> probes_;
};

}  // namespace turgo
