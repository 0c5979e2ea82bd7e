// One client's request on its way: to a node, to another one where the first fails before a byte of its
// answer went on, and the answer back. A client gets exactly one answer; a stream that breaks ends with an
// error event.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "serve/http/http_server.h"
#include "serve/proxy/node_table.h"
#include "serve/proxy/upstream.h"

namespace turgo {

// Retries may be a fifth of the requests, and kBurst at once: nodes that all fail are not asked many times
// over.
class RetryBudget {
 public:
  void earn() { level_ = std::min(level_ + 0.2, kBurst); }
  bool take() {
    if (level_ < 1) return false;
    level_ -= 1;
    return true;
  }

 private:
  static constexpr double kBurst = 256;
  double level_ = kBurst;
};

struct ForwardMetrics {
  std::map<std::pair<std::string, int>, int64_t> answers;  // by model and status
  int64_t num_retries = 0, num_broken_streams = 0, num_wrong_models = 0;
};

struct ForwardContext {
  NodeTable& table;
  UpstreamPool& pool;
  ForwardMetrics& metrics;
  RetryBudget& budget;
  std::string node_api_key;  // shown to nodes in place of the caller's key; "" = the caller's
  int max_attempts = 3;
  size_t max_whole = 32 << 20;  // bytes of an answer that is no stream
};

// `only`: the one node that can answer, or null. `context` outlives the responder.
std::unique_ptr<Responder> forward(ForwardContext& context, HttpRequest request, RequestFacts facts,
                                   std::shared_ptr<Node> only = nullptr);

// The fields of a request or answer that are meant for the other end (RFC 9110, 7.6.1).
HttpFields end_to_end_fields(const HttpFields& fields, bool is_request);

}  // namespace turgo
