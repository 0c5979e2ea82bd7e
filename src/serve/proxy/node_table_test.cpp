// The distributor's choices under a clock that the test holds.
#include "serve/proxy/node_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace turgo {
namespace {

using Refusal = NodeTable::Refusal;

class NodeTableTest : public testing::Test {
 protected:
  void make(Strategy strategy, int num_nodes = 3) {
    TableConfig config;
    config.strategy = strategy;
    table_ = std::make_unique<NodeTable>(config);
    for (int i = 0; i < num_nodes; ++i) add(fmt::format("http://10.0.0.{}:1", i + 1));
  }
  NodeTable::NodePtr add(const std::string& url, std::vector<std::string> models = {"m"}, double speed = 0) {
    NodeSpec spec;
    spec.url = url;
    spec.speed = speed;
    auto node = table_->add(spec, now_);
    node->models = std::move(models);
    return node;
  }
  static RequestFacts ask(const std::string& model = "m") {
    RequestFacts facts;
    facts.model = model;
    return facts;
  }
  NodeTable::Choice choose(const RequestFacts& facts, std::vector<NodeId> tried = {}) {
    return table_->choose(facts, tried, now_);
  }
  // One request from beginning to end, `seconds` long.
  Node& serve(const RequestFacts& facts, double seconds = 0.1) {
    auto choice = choose(facts);
    EXPECT_TRUE(choice.node) << static_cast<int>(choice.refusal);
    double began = now_;
    table_->begin(*choice.node, AnswerKind::kWhole, began);
    now_ += seconds;
    table_->answered(*choice.node, AnswerKind::kWhole, began, now_);
    table_->finish(*choice.node, AnswerKind::kWhole, began, Outcome::kAnswered, now_);
    return *choice.node;
  }
  void fail_on(Node& node, Outcome outcome) {
    table_->begin(node, AnswerKind::kWhole, now_);
    table_->finish(node, AnswerKind::kWhole, now_, outcome, now_);
  }
  // Arrivals every `gap` seconds; node i takes times[i] per request, any number at once. The counts per node.
  std::vector<int> run(int num_requests, double gap, const std::vector<double>& times) {
    struct Running {
      double end, began;
      NodeTable::NodePtr node;
    };
    std::vector<Running> running;
    std::uniform_real_distribution<double> jitter(1 - noise_, 1 + noise_);
    std::vector<int> counts(table_->nodes().size());
    auto end_until = [&](double time) {
      std::sort(running.begin(), running.end(),
                [](const Running& a, const Running& b) { return a.end < b.end; });
      while (!running.empty() && running.front().end <= time) {
        Running r = running.front();
        running.erase(running.begin());
        table_->answered(*r.node, AnswerKind::kWhole, r.began, r.end);
        table_->finish(*r.node, AnswerKind::kWhole, r.began, Outcome::kAnswered, r.end);
      }
    };
    for (int i = 0; i < num_requests; ++i) {
      now_ += gap;
      end_until(now_);
      auto node = choose(ask()).node;
      size_t at = static_cast<size_t>(std::find(table_->nodes().begin(), table_->nodes().end(), node) -
                                      table_->nodes().begin());
      ++counts[at];
      table_->begin(*node, AnswerKind::kWhole, now_);
      running.push_back({now_ + times[at] * jitter(random_), now_, node});
    }
    end_until(1e300);
    return counts;
  }
  static void expect_balanced(const std::vector<int>& counts) {
    double mean = std::accumulate(counts.begin(), counts.end(), 0.0) / static_cast<double>(counts.size());
    for (int count : counts) EXPECT_NEAR(count, mean, 0.15 * mean) << testing::PrintToString(counts);
  }

  double now_ = 1000, noise_ = 0;
  std::mt19937 random_{1};
  std::unique_ptr<NodeTable> table_;
};

TEST_F(NodeTableTest, EveryStrategyBalancesEqualNodesAtAnyLoad) {
  for (Strategy strategy : {Strategy::kRandom, Strategy::kMinExpectedLatency, Strategy::kMinObservedLatency})
    for (double gap : {1.0, 0.1, 0.01})
      for (double noise : {0.0, 0.5}) {  // which is no reason to starve a node
        noise_ = noise;
        make(strategy);
        expect_balanced(run(3000, gap, {0.2, 0.2, 0.2}));
      }
}

TEST_F(NodeTableTest, ASlowNodeGetsLittleAndIsTriedAgain) {
  for (Strategy strategy : {Strategy::kRandom, Strategy::kMinExpectedLatency, Strategy::kMinObservedLatency})
    for (double gap : {1.0, 0.05, 0.01}) {
      make(strategy);
      run(100, gap, {0.1, 0.1, 1.0});
      auto slow = run(2000, gap, {0.1, 0.1, 1.0});
      EXPECT_LE(slow[2], 0.15 * 2000) << static_cast<int>(strategy) << " " << gap;
      now_ += 10;
      run(200, gap, {0.1, 0.1, 0.1});
      now_ += 10;
      run(300, gap, {0.1, 0.1, 0.1});
      expect_balanced(run(3000, gap, {0.1, 0.1, 0.1}));
    }
}

TEST_F(NodeTableTest, ANodeThatDoesNotAnswerIsAvoidedBeforeItsFirstAnswerIsDue) {
  make(Strategy::kMinObservedLatency);
  run(60, 0.1, {0.01, 0.01, 0.01});
  auto stuck = choose(ask()).node;
  table_->begin(*stuck, AnswerKind::kWhole, now_);
  now_ += 2;
  for (int i = 0; i < 50; ++i) EXPECT_NE(&serve(ask(), 0.01), stuck.get());
}

TEST_F(NodeTableTest, TheSpeedThatTheOperatorGaveWeighs) {
  make(Strategy::kRandom, 0);
  add("http://a:1", {"m"}, 3);
  add("http://b:1", {"m"}, 1);
  auto counts = run(4000, 0.1, {0.01, 0.01});
  EXPECT_NEAR(counts[0], 3000, 150);
}

TEST_F(NodeTableTest, ModelsAndTheirAbsence) {
  make(Strategy::kMinExpectedLatency, 0);
  EXPECT_EQ(choose(ask()).refusal, Refusal::kUnknownModel);
  auto a = add("http://a:1", {"x", "y"}), b = add("http://b:1", {"y"});
  EXPECT_EQ(choose(ask("x")).node, a);
  EXPECT_EQ(choose(ask("x:latest")).node, a);
  EXPECT_EQ(choose(ask("z")).refusal, Refusal::kUnknownModel);
  EXPECT_TRUE(choose(ask("")).node);
  EXPECT_EQ(choose(ask("x"), {a->id}).refusal, Refusal::kNoneUp);
  EXPECT_EQ(choose(ask("y"), {a->id}).node, b);
  EXPECT_THAT(table_->models(), testing::ElementsAre("x", "y"));
  a->is_draining = true;
  EXPECT_EQ(choose(ask("x")).refusal, Refusal::kNoneUp);
  EXPECT_TRUE(table_->remove("http://a:1"));
  EXPECT_FALSE(table_->remove("http://a:1"));
  EXPECT_EQ(choose(ask("x")).refusal, Refusal::kUnknownModel);
  EXPECT_THROW(add("https://a"), Error);
  EXPECT_THROW(add("nonsense url"), Error);
}

TEST_F(NodeTableTest, AnEjectedNodeComesBackAfterTwoGoodProbes) {
  make(Strategy::kMinExpectedLatency, 1);
  Node& node = *table_->nodes()[0];
  fail_on(node, Outcome::kRefused);  // kill -9: the first refused connection says enough
  EXPECT_EQ(node.state, NodeState::kDown);
  EXPECT_EQ(choose(ask()).refusal, Refusal::kNoneUp);
  table_->probed(node, true, false, now_, now_);
  EXPECT_EQ(node.state, NodeState::kDown);
  table_->probed(node, false, false, now_, now_);
  table_->probed(node, true, false, now_, now_);
  EXPECT_EQ(node.state, NodeState::kDown);
  table_->probed(node, true, false, now_, now_);
  EXPECT_EQ(node.state, NodeState::kUp);
}

TEST_F(NodeTableTest, OneThatAnswersRubbishStaysAwayForLongerEachTime) {
  make(Strategy::kMinExpectedLatency, 1);
  Node& node = *table_->nodes()[0];
  std::vector<double> away;
  for (int round = 0; round < 8; ++round) {
    int num_failures = 0;
    while (node.state != NodeState::kDown) fail_on(node, Outcome::kBroken), ++num_failures;
    EXPECT_EQ(num_failures, round == 0 ? 3 : 1);  // on trial one is too many
    double since = now_;
    while (node.state == NodeState::kDown) {
      now_ += 0.25;
      table_->probed(node, true, false, now_, now_);
    }
    away.push_back(now_ - since);
    EXPECT_EQ(node.state, NodeState::kTrial);
  }
  EXPECT_TRUE(std::is_sorted(away.begin(), away.end())) << testing::PrintToString(away);
  EXPECT_GE(away.back(), 30);
  EXPECT_LE(away.back(), 31);
  auto trial = choose(ask()).node;
  ASSERT_TRUE(trial);
  table_->begin(*trial, AnswerKind::kWhole, now_);
  EXPECT_EQ(choose(ask()).refusal, Refusal::kNoneUp);  // one at a time
  table_->finish(*trial, AnswerKind::kWhole, now_, Outcome::kAnswered, now_);
  EXPECT_EQ(node.state, NodeState::kUp);
  for (int i = 0; i < 25; ++i) serve(ask());
  EXPECT_EQ(node.ejections, 0);
}

TEST_F(NodeTableTest, ErrorsOfOneRequestAndBusyAnswersEjectNobody) {
  make(Strategy::kMinExpectedLatency, 1);
  Node& node = *table_->nodes()[0];
  for (int i = 0; i < 20; ++i) {
    fail_on(node, Outcome::kError);
    fail_on(node, Outcome::kError);
    fail_on(node, Outcome::kAnswered);
    fail_on(node, Outcome::kBusy);
    fail_on(node, Outcome::kLeft);
  }
  EXPECT_EQ(node.state, NodeState::kUp);
  EXPECT_EQ(node.in_flight, 0);
}

TEST_F(NodeTableTest, ABusyNodeWhoseStreamsFlowIsNotTakenForDead) {
  make(Strategy::kMinExpectedLatency, 1);
  Node& node = *table_->nodes()[0];
  for (int i = 0; i < 5; ++i) {
    double sent = now_;
    now_ += 1;
    table_->note_byte(node, now_ - 0.1);
    table_->probed(node, false, true, sent, now_);
  }
  EXPECT_EQ(node.state, NodeState::kUp);
  table_->probed(node, false, true, now_, now_ + 1);
  table_->probed(node, false, true, now_ + 1, now_ + 2);
  EXPECT_EQ(node.state, NodeState::kDown);
}

TEST_F(NodeTableTest, SessionsStayAndEqualBeginningsMeet) {
  make(Strategy::kCacheAware);
  std::map<NodeId, int> used;
  for (uint64_t s = 1; s <= 60; ++s) {
    RequestFacts facts = ask();
    facts.session = hash_bytes("session", s);
    Node& home = serve(facts);
    ++used[home.id];
    for (int turn = 0; turn < 5; ++turn) EXPECT_EQ(&serve(facts), &home);
  }
  EXPECT_EQ(used.size(), 3u);
  for (uint64_t group = 1; group <= 30; ++group) {
    RequestFacts facts = ask();
    facts.chain = {hash_bytes("a", group), hash_bytes("b", group), hash_bytes("c", group)};
    Node& home = serve(facts);
    for (uint64_t user = 1; user <= 5; ++user) {
      RequestFacts longer = facts;
      longer.chain.push_back(hash_bytes("d", group * 100 + user));
      EXPECT_EQ(&serve(longer), &home);
    }
  }
}

TEST_F(NodeTableTest, AHotPromptSpillsOverAndSessionsFollowWhereTheyWent) {
  make(Strategy::kCacheAware);
  RequestFacts facts = ask();
  facts.chain = {1, 2, 3};
  std::map<NodeId, int> used;
  for (int i = 0; i < 60; ++i) {  // all at once, none ends
    auto node = choose(facts).node;
    table_->begin(*node, AnswerKind::kWhole, now_);
    ++used[node->id];
  }
  EXPECT_EQ(used.size(), 3u);
  for (auto [id, count] : used) EXPECT_GE(count, 10) << testing::PrintToString(used);
  auto home = choose(facts).node;
  facts.session = 77;
  auto first = choose(facts).node;
  EXPECT_EQ(choose(facts).node, first);
  (void)home;
}

TEST_F(NodeTableTest, AnotherDistributorKnowsTheSameHomes) {
  make(Strategy::kCacheAware);
  std::vector<std::string> homes;
  for (uint64_t group = 1; group <= 50; ++group) {
    RequestFacts facts = ask();
    facts.chain = {hash_bytes("g", group)};
    homes.push_back(serve(facts).spec.url);
  }
  make(Strategy::kCacheAware);  // restarted
  for (uint64_t group = 50; group >= 1; --group) {
    RequestFacts facts = ask();
    facts.chain = {hash_bytes("g", group)};
    EXPECT_EQ(serve(facts).spec.url, homes[group - 1]);
  }
}

TEST_F(NodeTableTest, WhatANodeAloneHoldsIsLostWithIt) {
  for (Strategy strategy : {Strategy::kRandom, Strategy::kCacheAware}) {
    make(strategy);
    RequestFacts facts = ask();
    facts.session = 5;
    facts.is_stateful = true;
    Node& home = serve(facts);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(&serve(facts), &home);
    home.is_draining = true;  // what goes on, goes on there
    EXPECT_EQ(&serve(facts), &home);
    fail_on(home, Outcome::kRefused);
    EXPECT_EQ(choose(facts).refusal, Refusal::kSessionLost);  // said once
    Node& other = serve(facts);
    EXPECT_NE(&other, &home);
    table_->remove(other.spec.url);
    EXPECT_EQ(table_->node_of_session(5), nullptr);
  }
}

TEST_F(NodeTableTest, APromptWhoseNodeIsDownStaysWhereItWent) {
  make(Strategy::kCacheAware);
  RequestFacts facts = ask();
  facts.chain = {hash_bytes("a", 1), hash_bytes("a", 2)};
  Node& home = serve(facts);
  fail_on(home, Outcome::kRefused);
  Node& refuge = serve(facts);
  EXPECT_NE(&refuge, &home);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(&serve(facts), &refuge);
}

TEST(AffinityMap, ForgetsTheOldest) {
  AffinityMap map(3);
  for (uint64_t key = 1; key <= 4; ++key) map.set(key, static_cast<NodeId>(key));
  EXPECT_EQ(map.find(1), 0u);
  EXPECT_EQ(map.find(4), 4u);
  map.set(2, 9);
  map.set(5, 5);
  EXPECT_EQ(map.find(3), 0u);
  EXPECT_EQ(map.find(2), 9u);
  map.erase_node(9);
  map.erase(5);
  EXPECT_EQ(map.size(), 1u);
}

}  // namespace
}  // namespace turgo
