// The laws of the engine's contract over conversations of three turns, bit for bit, greedy and sampled:
// however the engine comes to an answer, it is that of an engine without memory, asked alone with the whole
// history.
#include <gtest/gtest.h>

#include "engine/law_harness.h"

namespace turgo {
namespace {

constexpr uint32_t kTurns = 3;
constexpr uint32_t kSeeds[] = {4, 5, 7};  // greedy, sampled with a penalty, sampled

struct Turn {
  std::vector<int32_t> history;
  Request request;  // its new tokens only
  LawAnswer answer;

  Request whole() const {
    Request r = request;
    r.input_ids.insert(r.input_ids.begin(), history.begin(), history.end());
    return r;
  }
  Request in_session(const std::string& id) const {
    Request r = request;
    r.session_id = id;
    return r;
  }
};
using Conversation = std::vector<Turn>;

class ConversationLaw : public LawTest {
 protected:
  // What an engine without memory answers, for every length and seed.
  static const std::vector<Conversation>& conversations(int32_t max_new = 6) {
    static std::map<std::string, std::vector<Conversation>> known;
    const LawCase& c = GetParam();
    auto [it, is_new] = known.try_emplace(c.model + kv_type_name(c.kv) + std::to_string(max_new));
    if (!is_new) return it->second;
    auto e = law_engine(c, memoryless_config());
    for (int32_t n : law_lengths(c))
      for (uint32_t seed : kSeeds) {
        Conversation conversation;
        std::vector<int32_t> history;
        for (uint32_t turn = 0; turn < kTurns; ++turn) {
          Turn t{history, law_request(c, turn == 0 ? n : 20, max_new, seed + 4 * turn), {}};
          t.answer = law_answer(*e, t.whole());
          history = t.whole().input_ids;
          for (int32_t id : law_tokens(t.answer)) history.push_back(id);
          conversation.push_back(std::move(t));
        }
        it->second.push_back(std::move(conversation));
      }
    return it->second;
  }
};

TEST_P(ConversationLaw, BatchOfNIsNSingles) {
  EngineConfig config = law_config();
  config.enable_prefix_caching = false;
  auto e = law_engine(GetParam(), config);
  std::vector<std::pair<const Turn*, std::unique_ptr<Stream>>> streams;
  for (const Conversation& c : conversations())
    for (const Turn& t : c) streams.emplace_back(&t, e->submit(t.whole()));
  for (auto& [turn, stream] : streams) EXPECT_EQ(law_drain(*stream), turn->answer);
}

TEST_P(ConversationLaw, ChunkedIsWholePrefill) {
  bool few = GetParam().model == "real" && !std::getenv("TURGO_FULL");
  for (int32_t chunk : few ? std::vector{33} : std::vector{1, 33, 64}) {
    EngineConfig config = memoryless_config();
    config.max_prefill_tokens = chunk;
    config.max_batch_size = 1;
    auto e = law_engine(GetParam(), config);
    for (const Conversation& c : conversations())
      for (const Turn& t : c) EXPECT_EQ(law_answer(*e, t.whole()), t.answer) << chunk;
  }
}

TEST_P(ConversationLaw, PrefixHitIsMiss) {
  auto e = law_engine(GetParam());
  for (const Conversation& c : conversations())
    for (const Turn& t : c)
      for (bool again : {false, true}) {
        RequestStats stats;
        EXPECT_EQ(law_answer(*e, t.whole(), &stats), t.answer) << again;
        auto length = static_cast<int32_t>(t.whole().input_ids.size());
        if (again && GetParam().model != "window") {
          EXPECT_EQ(stats.cached_tokens, (length - 1) / 64 * 64);
        }
      }
}

TEST_P(ConversationLaw, StatefulIsStateless) {
  auto e = law_engine(GetParam());
  int name = 0;
  for (const Conversation& c : conversations()) {
    std::string id = std::to_string(name++);
    for (const Turn& t : c) {
      RequestStats stats;
      EXPECT_EQ(law_answer(*e, t.in_session(id), &stats), t.answer);
      EXPECT_GE(stats.cached_tokens, stats.history_tokens - 1);
    }
  }
}

// Before each turn the session is forked, and both take it at the same time; the fork's fork goes on.
TEST_P(ConversationLaw, ForkIsCopy) {
  auto e = law_engine(GetParam());
  int name = 0;
  for (const Conversation& c : conversations()) {
    std::string id = std::to_string(name++);
    EXPECT_EQ(law_answer(*e, c[0].in_session(id)), c[0].answer);
    for (uint32_t turn = 1; turn < kTurns; ++turn) {
      e->fork_session(id, id + "f", "");
      auto first = e->submit(c[turn].in_session(id)), second = e->submit(c[turn].in_session(id + "f"));
      EXPECT_EQ(law_drain(*first), c[turn].answer);
      EXPECT_EQ(law_drain(*second), c[turn].answer);
      id += "f";
    }
  }
}

// After all turns, back to each of them.
TEST_P(ConversationLaw, RewoundIsNeverSaid) {
  auto e = law_engine(GetParam());
  int name = 0;
  for (const Conversation& c : conversations()) {
    std::string id = std::to_string(name++);
    for (const Turn& t : c) law_answer(*e, t.in_session(id));
    for (uint32_t turn : {2u, 1u, 0u}) {
      Request r = c[turn].in_session(id);
      r.step = static_cast<int32_t>(c[turn].history.size());
      EXPECT_EQ(law_answer(*e, r), c[turn].answer) << turn;
    }
  }
}

// Answers that outgrow the pool together: they push each other out, in sessions and without.
TEST_P(ConversationLaw, PreemptedIsNot) {
  for (bool in_sessions : {true, false}) {
    EngineConfig config = law_config();
    config.cache_max_entry_count = 7;
    config.step_stretch = 0;  // all grow at the same pace
    config.enable_prefix_caching = in_sessions;
    auto e = law_engine(GetParam(), config);
    for (uint32_t turn = 0; turn < (in_sessions ? kTurns : 1); ++turn) {
      std::vector<std::pair<const Turn*, std::unique_ptr<Stream>>> streams;
      for (const Conversation& c : conversations(72)) {
        std::string id = std::to_string(&c - conversations(72).data());
        streams.emplace_back(&c[turn], e->submit(in_sessions ? c[turn].in_session(id) : c[turn].whole()));
      }
      for (auto& [t, stream] : streams) EXPECT_EQ(law_drain(*stream), t->answer) << turn;
    }
    // The pool of a window holds as many sequences as group 0 at their longest: it lets fewer in.
    if (GetParam().model != "window") {
      EXPECT_GT(e->stats().num_preemptions, 0);
    }
    EXPECT_EQ(e->stats().num_active_blocks, 0);
  }
}

// The embedding table's rows for `ids`, read back through a decoder's embed().
std::vector<float> embedding_rows(Decoder& decoder, std::span<const int32_t> ids) {
  auto n = static_cast<int32_t>(ids.size());
  std::vector<float> rows(ids.size() * static_cast<size_t>(decoder.config().hidden_size));
  StepInput in;
  in.num_rows = n;
  in.token_ids = ids.data();
  decoder.embed(in, f32_matrix(rows.data(), n, decoder.config().hidden_size));
  decoder.executor().synchronize();
  return rows;
}

// A span of every turn's tokens as rows, with and without sessions.
TEST_P(ConversationLaw, EmbeddingRowsAreTheirTokens) {
  auto decoder = law_decoder(GetParam());
  auto with_rows = [&](Request r) {
    auto begin = static_cast<ptrdiff_t>(r.input_ids.size() / 3);
    auto count = static_cast<ptrdiff_t>(r.input_ids.size() / 2);
    auto first = r.input_ids.begin() + begin;
    r.embeddings = embedding_rows(*decoder, {first, first + count});
    std::string_view bytes(reinterpret_cast<const char*>(r.embeddings.data()),
                           r.embeddings.size() * sizeof(float));
    r.embeddings_hash = std::to_string(std::hash<std::string_view>{}(bytes));
    std::fill_n(first, count, -1);
    return r;
  };
  auto e = law_engine(GetParam());
  int name = 0;
  for (const Conversation& c : conversations()) {
    if (c[0].request.sampling.repetition_penalty != 1) continue;  // it sees ids only
    std::string id = std::to_string(name++);
    for (const Turn& t : c) {
      EXPECT_EQ(law_answer(*e, with_rows(t.in_session(id))), t.answer);
      EXPECT_EQ(law_answer(*e, with_rows(t.whole())), t.answer);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ConversationLaw, law_cases(), law_case_name);

}  // namespace
}  // namespace turgo
