#include "serve/proxy/node_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace turgo {
namespace {

constexpr double kBand = 2;              // nodes whose times are within are equally fast
constexpr double kNoiseSeconds = 0.005;  // so are those within: a busy machine's wake-ups
constexpr size_t kMinSamples = 3;        // fewer say nothing
constexpr double kStaleSeconds = 5;      // a slow node is tried again after that, with one request,
constexpr uint64_t kStalePicks = 20;     // and after so many for others: it costs little of any load
constexpr int kForgive = 20;             // successes in a row that wipe out old ejections
constexpr double kMinRecentByte = 1;     // seconds; younger ones prove that a node works

// A cached prefix is worth a longer queue, up to here.
bool is_overloaded(double cost, double best) {
  return cost > 2 * best + 4;
}

}  // namespace

const char* node_state_name(NodeState state) {
  return state == NodeState::kUp ? "up" : state == NodeState::kTrial ? "trial" : "down";
}

bool Node::serves(const std::string& model) const {
  if (model.empty()) return !models.empty();
  auto has = [&](const std::string& name) {
    return std::find(models.begin(), models.end(), name) != models.end();
  };
  return has(model) || (model.ends_with(":latest") && has(model.substr(0, model.size() - 7)));
}

Strategy parse_strategy(const std::string& name) {
  if (name == "random") return Strategy::kRandom;
  if (name == "min_expected_latency") return Strategy::kMinExpectedLatency;
  if (name == "min_observed_latency") return Strategy::kMinObservedLatency;
  if (name == "cache_aware") return Strategy::kCacheAware;
  fail(ErrorCode::kInvalidArgument,
       "--routing-strategy: expected random, min_expected_latency, min_observed_latency or cache_aware, got "
       "{}",
       quote(name));
}

NodeTable::NodePtr NodeTable::make(NodeSpec spec) {
  auto node = std::make_shared<Node>();
  node->address = parse_server_url(spec.url);
  node->id = next_id_++;
  node->spec = std::move(spec);
  return node;
}

NodeTable::NodePtr NodeTable::add(NodeSpec spec, double now) {
  NodePtr node = find(spec.url);
  if (node) {
    spec.is_fixed = spec.is_fixed || node->spec.is_fixed;
    node->spec = std::move(spec);
  } else {
    node = nodes_.emplace_back(make(std::move(spec)));
  }
  node->last_heartbeat = now;
  return node;
}

bool NodeTable::remove(const std::string& url) {
  auto found =
      std::find_if(nodes_.begin(), nodes_.end(), [&](const NodePtr& n) { return n->spec.url == url; });
  if (found == nodes_.end()) return false;
  (*found)->is_removed = true;
  sessions_.erase_node((*found)->id);
  prefixes_.erase_node((*found)->id);
  ++sessions_version_;
  nodes_.erase(found);
  return true;
}

NodeTable::NodePtr NodeTable::find(const std::string& url) const {
  for (const NodePtr& node : nodes_)
    if (node->spec.url == url) return node;
  return nullptr;
}

NodeTable::NodePtr NodeTable::by_id(NodeId id) const {
  for (const NodePtr& node : nodes_)
    if (node->id == id) return node;
  return nullptr;
}

std::vector<std::string> NodeTable::models() const {
  std::set<std::string> all;
  for (const NodePtr& node : nodes_) all.insert(node->models.begin(), node->models.end());
  return {all.begin(), all.end()};
}

bool NodeTable::can_take(const Node& node, const RequestFacts& facts, std::span<const NodeId> tried) const {
  if (node.state == NodeState::kDown || !node.serves(facts.model)) return false;
  if (node.state == NodeState::kTrial && node.in_flight > 0) return false;
  return std::find(tried.begin(), tried.end(), node.id) == tried.end();
}

// The mean of the last answers; where one is awaited for very long, that says it sooner.
double NodeTable::observed(const Node& node, AnswerKind kind, double now) const {
  const Latencies& seen = node.latencies[static_cast<int>(kind)];
  double waited = seen.waiting.empty() ? 0 : (now - *seen.waiting.begin()) / 4;
  bool is_stale = node.in_flight == 0 && now - seen.updated_at > kStaleSeconds &&
                  next_pick_ - node.last_pick > kStalePicks;
  if (seen.last.size() < kMinSamples || is_stale) return waited;
  return std::max(seen.sum / static_cast<double>(seen.last.size()), waited);
}

NodeTable::Choice NodeTable::choose(const RequestFacts& facts, std::span<const NodeId> tried, double now) {
  NodePtr pinned = facts.session ? by_id(sessions_.find(facts.session)) : nullptr;
  if (facts.is_stateful && pinned) {
    if (pinned->state != NodeState::kDown && can_take(*pinned, facts, tried)) return {pinned, Refusal::kNone};
    if (pinned->state == NodeState::kTrial) return {nullptr, Refusal::kNoneUp};  // in a moment
    sessions_.erase(facts.session);
    ++sessions_version_;
    return {nullptr, Refusal::kSessionLost};
  }
  std::vector<NodePtr> able;
  bool is_known = false;
  for (const NodePtr& node : nodes_) {
    is_known = is_known || node->serves(facts.model);
    if (!node->is_draining && can_take(*node, facts, tried)) able.push_back(node);
  }
  if (able.empty()) return {nullptr, is_known ? Refusal::kNoneUp : Refusal::kUnknownModel};
  AnswerKind kind = facts.is_stream ? AnswerKind::kStream : AnswerKind::kWhole;
  NodePtr node = pick(std::move(able), kind, now, facts);
  node->last_pick = next_pick_++;
  if (facts.session && !facts.ends_session &&
      (facts.is_stateful || config_.strategy == Strategy::kCacheAware))
    pin(facts.session, node->id);
  if (config_.strategy == Strategy::kCacheAware)
    prefixes_.set_chain(facts.chain, node->id, [this](NodeId id) {
      NodePtr old = by_id(id);
      return old && old->state != NodeState::kDown && !old->is_draining;
    });
  return {node, Refusal::kNone};
}

NodeTable::NodePtr NodeTable::pick(std::vector<NodePtr> able, AnswerKind kind, double now,
                                   const RequestFacts& facts) {
  double best = INFINITY, given_speeds = 0;
  int num_given = 0;
  for (const NodePtr& node : able) {
    if (double seconds = observed(*node, kind, now); seconds > 0) best = std::min(best, seconds);
    if (node->spec.speed > 0) given_speeds += node->spec.speed, ++num_given;
  }
  double usual_speed = num_given ? given_speeds / num_given : 1;
  std::vector<double> slowness, costs;
  for (const NodePtr& node : able) {
    double seconds = observed(*node, kind, now);
    double ratio = seconds > kBand * best && seconds > best + kNoiseSeconds ? seconds / best : 1;
    double speed = (node->spec.speed > 0 ? node->spec.speed : usual_speed) / usual_speed;
    slowness.push_back(ratio / speed);
    costs.push_back((node->in_flight + 1) * slowness.back());
  }
  auto least = [&](const std::vector<double>& by) {
    size_t at = 0;
    for (size_t i = 1; i < able.size(); ++i)
      if (by[i] < by[at] || (by[i] == by[at] && able[i]->last_pick < able[at]->last_pick)) at = i;
    return able[at];
  };
  switch (config_.strategy) {
    case Strategy::kRandom: {
      std::vector<double> weights;
      for (double s : slowness) weights.push_back(1 / s);
      return able[std::discrete_distribution<size_t>(weights.begin(), weights.end())(random_)];
    }
    case Strategy::kMinObservedLatency:
      return least(slowness);
    case Strategy::kCacheAware:
      if (NodePtr node = pick_by_affinity(able, costs, facts)) return node;
      return least(costs);
    case Strategy::kMinExpectedLatency:
      break;
  }
  return least(costs);
}

// The session's node, else the one that holds at least half of the prompt, else the prompt's own by
// rendezvous hashing, which every distributor knows without having seen anything. Null if it is overloaded.
NodeTable::NodePtr NodeTable::pick_by_affinity(const std::vector<NodePtr>& able,
                                               const std::vector<double>& costs,
                                               const RequestFacts& facts) const {
  double best = *std::min_element(costs.begin(), costs.end());
  auto usable = [&](NodeId id) -> NodePtr {
    for (size_t i = 0; i < able.size(); ++i)
      if (able[i]->id == id) return is_overloaded(costs[i], best) ? nullptr : able[i];
    return nullptr;
  };
  NodeId pinned = facts.session ? sessions_.find(facts.session) : 0;
  if (NodePtr node = pinned ? usable(pinned) : nullptr) return node;
  if (facts.chain.empty() && !facts.session) return nullptr;
  auto [num_known, holder] = prefixes_.find_longest(facts.chain);
  if (num_known * 2 >= facts.chain.size() && holder)
    if (NodePtr node = usable(holder)) return node;
  uint64_t key = facts.chain.empty() ? facts.session : facts.chain.front(), most = 0;
  NodePtr home;
  for (const NodePtr& node : able) {
    uint64_t score = hash_bytes(node->spec.url, key);
    if (!home || score > most) home = node, most = score;
  }
  return usable(home->id);
}

void NodeTable::pin(uint64_t session, NodeId node) {
  if (sessions_.find(session) != node) ++sessions_version_;
  sessions_.set(session, node);
}

void NodeTable::begin(Node& node, AnswerKind kind, double now) {
  ++node.in_flight;
  ++node.num_requests;
  node.latencies[static_cast<int>(kind)].waiting.insert(now);
}

void NodeTable::answered(Node& node, AnswerKind kind, double began, double now) {
  Latencies& seen = node.latencies[static_cast<int>(kind)];
  if (auto it = seen.waiting.find(began); it != seen.waiting.end()) seen.waiting.erase(it);
  // After a pause old answers say nothing, and the first new one as much as the few that are asked for.
  bool is_first = now - seen.updated_at > kStaleSeconds && !seen.last.empty();
  if (is_first) seen.last.clear();
  for (size_t i = 0; i < (is_first ? kMinSamples : 1); ++i) seen.last.push_back(now - began);
  while (seen.last.size() > Latencies::kWindow) seen.last.pop_front();
  seen.sum = std::accumulate(seen.last.begin(), seen.last.end(), 0.0);
  seen.updated_at = now;
}

void NodeTable::finish(Node& node, AnswerKind kind, double began, Outcome outcome, double now) {
  --node.in_flight;
  Latencies& seen = node.latencies[static_cast<int>(kind)];
  if (auto it = seen.waiting.find(began); it != seen.waiting.end()) seen.waiting.erase(it);
  if (outcome == Outcome::kLeft || node.is_removed) return;
  if (outcome == Outcome::kAnswered || outcome == Outcome::kBusy) {
    node.failures = 0;
    if (node.state == NodeState::kTrial && outcome == Outcome::kAnswered) node.state = NodeState::kUp;
    if (++node.successes >= kForgive) node.ejections = 0;
    return;
  }
  node.successes = 0;
  ++node.num_failures;
  ++node.failures;
  if (node.state == NodeState::kDown) return;
  bool is_over = outcome == Outcome::kRefused || node.state == NodeState::kTrial ||
                 node.failures >= config_.failures_to_eject;
  if (!is_over) return;
  // Probes find out when a node that takes no connection is back. One that takes them and answers rubbish
  // stays away for longer each time.
  if (outcome != Outcome::kRefused)
    node.down_until = now + std::min(config_.first_cool_down * std::pow(2.0, std::min(node.ejections++, 30)),
                                     config_.max_cool_down);
  eject(node, now);
}

void NodeTable::eject(Node& node, double now) {
  node.state = NodeState::kDown;
  node.down_since = now;
  node.good_probes = 0;
  ++node.num_ejections;
}

void NodeTable::come_back(Node& node) {
  // After rubbish it has to show one good answer; after an absence its probes have said enough.
  node.state = node.ejections > 0 ? NodeState::kTrial : NodeState::kUp;
  node.failures = 0;
  for (Latencies& seen : node.latencies) {
    seen.last.clear();
    seen.sum = 0;
  }
}

void NodeTable::probed(Node& node, bool is_good, bool is_timeout, double sent, double now) {
  if (is_good) {
    node.bad_probes = 0;
    ++node.good_probes;
    if (node.state == NodeState::kDown && node.good_probes >= config_.probes_to_return &&
        now >= node.down_until)
      come_back(node);
    return;
  }
  node.good_probes = 0;
  if (is_timeout && node.last_byte > sent && now - node.last_byte < kMinRecentByte) return;
  ++node.bad_probes;
  if (node.state != NodeState::kDown && node.bad_probes >= config_.probes_to_eject) eject(node, now);
}

}  // namespace turgo
