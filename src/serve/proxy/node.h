// One server behind the distributor: where it is, what it serves, how it fares. Plain data of the I/O thread;
// NodeTable holds the rules. Times are seconds of one monotonic clock.
#pragma once

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

#include "serve/client/http_exchange.h"
#include "serve/proxy/affinity.h"

namespace turgo {

enum class NodeState {
  kUp,
  kTrial,  // back after failures: one request at a time until one succeeds
  kDown,   // gets no traffic; probed until it answers twice in a row
};
const char* node_state_name(NodeState state);

// What a node's latency means depends on the answer: to the first piece of a stream, or to the whole.
enum class AnswerKind { kStream, kWhole };

struct Latencies {
  std::deque<double> last;             // seconds, of the last kWindow answers, as LMDeploy's distributor
  std::multiset<double> waiting;       // when requests without an answer were sent
  double sum = 0, updated_at = -1e18;  // of `last`
  static constexpr size_t kWindow = 15;
};

struct NodeSpec {
  std::string url;
  std::vector<std::string> declared_models;  // by whoever registered it; empty: all that it serves
  double speed = 0;                          // relative, 0 = not told
  bool is_fixed = false;                     // named on the command line: not in the state file
  double heartbeat_seconds = 0;              // it registers itself anew so often; 0 = never
};

struct Node {
  NodeId id = 0;
  NodeSpec spec;
  ServerUrl address;
  std::vector<std::string> models;  // that it serves and may serve here
  NodeState state = NodeState::kUp;
  bool is_draining = false;  // nothing new but what a session goes on with
  bool is_removed = false;   // its answers end, nothing else does

  bool wants_models = true;  // ask at once what it serves

  int in_flight = 0;
  Latencies latencies[2];  // by AnswerKind
  uint64_t last_pick = 0;

  int failures = 0;     // in a row, of requests
  int bad_probes = 0;   // in a row
  int good_probes = 0;  // in a row
  int ejections = 0;    // by requests while probes were good; forgotten after kForgive successes
  int successes = 0;    // in a row
  double down_until = 0, down_since = 0;
  double last_byte = -1e18;  // of any answer
  double last_heartbeat = 0;
  int64_t num_requests = 0, num_failures = 0, num_ejections = 0;

  bool serves(const std::string& model) const;
};

}  // namespace turgo
