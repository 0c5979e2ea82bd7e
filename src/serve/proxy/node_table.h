// Which nodes there are and which of them a request goes to. Pure logic: the caller gives the time, tells how
// requests and probes end, and holds a node by a shared_ptr as long as it answers.
//
// A node's slowness is the mean of its last answers over the best node's, 1 where the two are within a factor
// of kBand: noise must not starve anybody. Its cost is (requests in flight + 1) * slowness / speed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "serve/proxy/node.h"
#include "serve/proxy/request_facts.h"

namespace turgo {

enum class Strategy { kRandom, kMinExpectedLatency, kMinObservedLatency, kCacheAware };
Strategy parse_strategy(const std::string& name);  // Error{kInvalidArgument}

enum class Outcome {
  kAnswered,
  kBusy,     // 429 or 503: it lives and takes no more now
  kError,    // 500 and its like: its own fault, or of a poisoned request
  kBroken,   // no HTTP, not what was asked for, or cut off
  kRefused,  // no connection
  kLeft,     // the client's doing: says nothing
};

struct TableConfig {
  Strategy strategy = Strategy::kMinExpectedLatency;
  uint64_t seed = 1;
  size_t max_sessions = 65'536, max_chunks = 131'072;
  int failures_to_eject = 3, probes_to_eject = 2, probes_to_return = 2;
  double first_cool_down = 0.5, max_cool_down = 30;
};

class NodeTable {
 public:
  using NodePtr = std::shared_ptr<Node>;
  enum class Refusal { kNone, kUnknownModel, kNoneUp, kSessionLost };
  struct Choice {
    NodePtr node;
    Refusal refusal = Refusal::kNone;
  };

  explicit NodeTable(TableConfig config) : config_(config), random_(config.seed) {}

  // A new node, or the one of that URL with its spec replaced. Error{kInvalidArgument} for a bad URL.
  NodePtr add(NodeSpec spec, double now);
  // One that is in no table: to be asked before it is added.
  NodePtr make(NodeSpec spec);
  bool remove(const std::string& url);
  NodePtr find(const std::string& url) const;
  const std::vector<NodePtr>& nodes() const { return nodes_; }
  std::vector<std::string> models() const;  // of nodes that are not removed, sorted

  // `tried`: nodes that this request has failed on. The choice is counted nowhere until begin().
  Choice choose(const RequestFacts& facts, std::span<const NodeId> tried, double now);

  void begin(Node& node, AnswerKind kind, double now);
  // At most once per begin(), whose time is `began`: the good answer that `kind` means is there.
  void answered(Node& node, AnswerKind kind, double began, double now);
  // Exactly once per begin().
  void finish(Node& node, AnswerKind kind, double began, Outcome outcome, double now);
  void note_byte(Node& node, double now) { node.last_byte = now; }
  // Of a health check that was sent at `sent`. A probe that got no answer while other answers of the node
  // came in says that it is busy, not that it is gone.
  void probed(Node& node, bool is_good, bool is_timeout, double sent, double now);
  void end_session(uint64_t session) { sessions_.erase(session); }
  void pin_session(uint64_t session, const Node& node) { pin(session, node.id); }
  NodePtr node_of_session(uint64_t session) const { return by_id(sessions_.find(session)); }

  const AffinityMap& sessions() const { return sessions_; }
  uint64_t sessions_version() const { return sessions_version_; }  // changes with every new pin
  NodePtr by_id(NodeId id) const;

 private:
  bool can_take(const Node& node, const RequestFacts& facts, std::span<const NodeId> tried) const;
  double observed(const Node& node, AnswerKind kind, double now) const;  // seconds; 0 = not known
  NodePtr pick(std::vector<NodePtr> able, AnswerKind kind, double now, const RequestFacts& facts);
  NodePtr pick_by_affinity(const std::vector<NodePtr>& able, const std::vector<double>& costs,
                           const RequestFacts& facts) const;
  void pin(uint64_t session, NodeId node);
  void eject(Node& node, double now);
  void come_back(Node& node);

  TableConfig config_;
  std::mt19937_64 random_;
  std::vector<NodePtr> nodes_;
  NodeId next_id_ = 1;
  uint64_t next_pick_ = 1, sessions_version_ = 0;
  AffinityMap sessions_{config_.max_sessions}, prefixes_{config_.max_chunks};
};

}  // namespace turgo
