// The laws of the engine's contract with real arithmetic, bit for bit: over a tiny random Llama always, and
// over the model file that the environment variable TURGO_MODEL names.
#include "engine/decoder_runner.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "core/thread_team.h"
#include "engine/engine.h"
#include "io/model_file.h"
#include "models/load_model.h"
#include "models/tiny_model.h"
#include "ops/eager.h"

#pragma GCC diagnostic ignored "-Wrestrict"  // GCC PR 105651

namespace turgo {
namespace {

constexpr int32_t kMaxRows = 256;
constexpr int32_t kSessionLen = 512;

// Weights are loaded once; every engine gets a decoder of its own with one thread more than the one before.
struct Model {
  DecoderConfig config;
  DecoderWeights weights;
  Precision precision = Precision::kInt8;
  std::shared_ptr<const ModelFile> file;
  int next_threads = 1;

  std::shared_ptr<Decoder> decoder(KvType kv) {
    auto team = std::make_shared<ThreadTeam>(1 + next_threads++ % 2);
    auto executor = make_eager_executor(team, *select_kernels(nullptr), precision);
    return std::make_shared<Decoder>(config, weights, executor, kv, kSessionLen, kMaxRows);
  }
  EngineConfig engine_config() const {
    EngineConfig c;
    c.max_batch_size = 16;
    c.max_prefill_tokens = 100;
    c.cache_max_entry_count = 100;
    return c;
  }
  std::unique_ptr<Engine> engine(KvType kv, const EngineConfig& c) { return Engine::create(decoder(kv), c); }
};

Model tiny_model() {
  Model m;
  TinyModel tiny(3);
  m.config = TinyModel::llama_config(2, 64, 160);
  m.weights = tiny.weights(m.config);
  m.precision = Precision::kF32;
  return m;
}

// Layers that slide beside layers that do not, as in Gemma 3: two groups, the second gives pages up.
Model window_model() {
  Model m;
  TinyModel tiny(4);
  m.config = TinyModel::llama_config(3, 64, 160);
  for (int l : {0, 2}) {
    m.config.layers[static_cast<size_t>(l)].attention = AttentionKind::kSliding;
    m.config.layers[static_cast<size_t>(l)].sliding_window = 40;
  }
  m.weights = tiny.weights(m.config);
  m.precision = Precision::kF32;
  return m;
}

struct Case {
  std::string name;
  KvType kv;
};

class DecoderLaw : public testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() {
    models() = new std::map<std::string, Model>;
    models()->emplace("tiny", tiny_model());
    models()->emplace("window", window_model());
    const char* path = std::getenv("TURGO_MODEL");
    if (!path || !*path) return;
    auto loaded = load_model(open_model(path), {});
    models()->emplace("real", Model{loaded.config, loaded.weights, loaded.precision, loaded.file});
  }
  static void TearDownTestSuite() {
    delete models();
    models() = nullptr;
  }
  void SetUp() override {
    auto it = models()->find(GetParam().name);
    if (it == models()->end()) GTEST_SKIP() << "set TURGO_MODEL to a model file";
    model_ = &it->second;
  }
  static std::map<std::string, Model>*& models() {
    static std::map<std::string, Model>* all = nullptr;
    return all;
  }

  std::unique_ptr<Engine> engine() { return model_->engine(GetParam().kv, model_->engine_config()); }
  std::unique_ptr<Engine> engine(const EngineConfig& c) { return model_->engine(GetParam().kv, c); }

  std::vector<int32_t> ids(int32_t n, uint32_t seed) const {
    std::mt19937 rng(seed);
    std::vector<int32_t> out(static_cast<size_t>(n));
    for (auto& id : out) id = static_cast<int32_t>(rng() % static_cast<uint32_t>(model_->config.vocab_size));
    return out;
  }
  // Greedy for even seeds; sampling, with penalties, for odd ones. The logprob of each token is asked for:
  // equal ones mean equal logits, not only equal choices.
  Request request(int32_t prompt, int32_t max_new, uint32_t seed) const {
    Request r;
    r.input_ids = ids(prompt, seed);
    r.max_new_tokens = max_new;
    r.ignore_eos = true;
    r.sampling.temperature = seed % 2 ? 0.9f : 0.0f;
    r.sampling.seed = seed;
    r.sampling.num_logprobs = 2;
    if (seed % 2) r.sampling.repetition_penalty = 1.1f;
    return r;
  }

  // Of prompts. The real model gets two of them, all with TURGO_FULL=1.
  std::vector<int32_t> lengths() const {
    if (GetParam().name == "real" && !std::getenv("TURGO_FULL")) return {64, 65};
    return {63, 64, 65, 1, 130};
  }
  std::vector<int32_t> chunks() const {
    if (GetParam().name == "real" && !std::getenv("TURGO_FULL")) return {33};
    return {1, 33, 64};
  }

  using Answer = std::vector<std::pair<int32_t, float>>;
  static Answer drain(Stream& stream) {
    Answer a;
    while (auto e = stream.next()) {
      EXPECT_NE(e->finish, FinishReason::kError) << e->error;
      for (auto& t : e->tokens) {
        a.emplace_back(t.token_id, t.logprob);
        for (auto& l : t.top_logprobs) a.emplace_back(l.token_id, l.logprob);
      }
    }
    return a;
  }
  static std::vector<int32_t> tokens(const Answer& a) {
    std::vector<int32_t> out;
    for (size_t i = 0; i < a.size(); i += 3) out.push_back(a[i].first);
    return out;
  }
  Answer alone(Request r) {
    EngineConfig c = model_->engine_config();
    c.enable_prefix_caching = false;
    r.session_id.clear();
    r.step = -1;
    return drain(*engine(c)->submit(std::move(r)));
  }

  Model* model_ = nullptr;
};

TEST_P(DecoderLaw, BatchOfNIsNSingles) {
  auto e = engine();
  auto n = lengths();
  auto one = [&](uint32_t i) { return request(n[i % n.size()], 8, i); };
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint32_t i = 0; i < 10; ++i) streams.push_back(e->submit(one(i)));
  for (uint32_t i = 0; i < 10; ++i) EXPECT_EQ(drain(*streams[i]), alone(one(i))) << i;
}

TEST_P(DecoderLaw, ChunkedIsWholePrefill) {
  for (int32_t chunk : chunks()) {
    EngineConfig c = model_->engine_config();
    c.max_prefill_tokens = chunk;
    c.max_batch_size = 1;
    auto e = engine(c);
    EngineConfig whole = model_->engine_config();
    whole.max_prefill_tokens = kMaxRows;
    for (int32_t n : lengths())
      EXPECT_EQ(drain(*e->submit(request(n, 5, 7))), drain(*engine(whole)->submit(request(n, 5, 7))))
          << chunk << " " << n;
  }
}

TEST_P(DecoderLaw, PrefixHitIsMiss) {
  auto e = engine();
  for (int32_t n : lengths())
    for (uint32_t seed : {2u, 3u}) {
      Answer first = drain(*e->submit(request(n, 8, seed)));
      EXPECT_EQ(drain(*e->submit(request(n, 8, seed))), first);
      EXPECT_EQ(first, alone(request(n, 8, seed)));
    }
}

TEST_P(DecoderLaw, StatefulIsStateless) {
  for (int32_t n : lengths())
    for (uint32_t seed : {4u, 5u}) {
      auto e = engine();
      std::vector<int32_t> history;
      for (uint32_t turn = 0; turn < 3; ++turn) {
        Request r = request(turn == 0 ? n : 20, 7, seed + 2 * turn), stateless = r;
        stateless.input_ids.insert(stateless.input_ids.begin(), history.begin(), history.end());
        r.session_id = "s";
        Answer a = drain(*e->submit(r));
        EXPECT_EQ(a, alone(stateless)) << n << " turn " << turn;
        history = e->session_tokens("s", "");
      }
    }
}

TEST_P(DecoderLaw, ForkAndRewindAreCopies) {
  auto e = engine();
  Request r = request(100, 10, 3);
  r.session_id = "a";
  drain(*e->submit(r));
  e->fork_session("a", "b", "");
  auto history = e->session_tokens("a", "");
  Request next[2] = {request(30, 20, 8), request(35, 20, 9)};
  Answer expected[2];
  for (int i = 0; i < 2; ++i) {
    Request stateless = next[i];
    stateless.input_ids.insert(stateless.input_ids.begin(), history.begin(), history.end() - (i ? 20 : 0));
    expected[i] = alone(stateless);
  }
  next[0].session_id = "a";
  next[1].session_id = "b";
  next[1].step = 90;
  auto a = e->submit(next[0]), b = e->submit(next[1]);
  EXPECT_EQ(drain(*a), expected[0]);
  EXPECT_EQ(drain(*b), expected[1]);
}

TEST_P(DecoderLaw, PreemptedIsNot) {
  EngineConfig c = model_->engine_config();
  c.cache_max_entry_count = 5;
  auto e = engine(c);
  std::vector<std::unique_ptr<Stream>> streams;
  for (uint32_t i = 0; i < 4; ++i) streams.push_back(e->submit(request(60, 80, i)));
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(drain(*streams[i]), alone(request(60, 80, i))) << i;
}

// The embedding table's rows for `ids`, read back through a decoder's embed().
std::vector<float> embedding_rows(Decoder& decoder, const std::vector<int32_t>& ids) {
  auto n = static_cast<int32_t>(ids.size());
  std::vector<float> rows(ids.size() * static_cast<size_t>(decoder.config().hidden_size));
  StepInput in;
  in.num_rows = n;
  in.token_ids = ids.data();
  decoder.embed(in, f32_matrix(rows.data(), n, decoder.config().hidden_size));
  decoder.executor().synchronize();
  return rows;
}

TEST_P(DecoderLaw, EmbeddingRowsAreTheirTokens) {
  auto decoder = model_->decoder(GetParam().kv);
  for (int32_t n : lengths())
    for (uint32_t seed : {4u, 5u}) {
      if (n < 61) continue;
      Request r = request(n, 10, seed);
      r.sampling.repetition_penalty = 1;  // it sees ids only
      auto rows = embedding_rows(*decoder, r.input_ids);
      Request with_rows = r;
      auto span = std::span(rows).subspan(20 * rows.size() / r.input_ids.size(),
                                          40 * rows.size() / r.input_ids.size());
      std::fill_n(with_rows.input_ids.begin() + 20, 40, -1);
      with_rows.embeddings.assign(span.begin(), span.end());
      EXPECT_EQ(alone(with_rows), alone(r)) << n << " " << seed;
    }
}

TEST_P(DecoderLaw, LogitsAreTheModelsOwn) {
  auto prompt = ids(150, 6);
  auto decoder = model_->decoder(GetParam().kv);
  TestSequence sequence(*decoder, 256);
  auto expected = sequence.feed(prompt);
  auto e = engine();
  std::vector<float> all;
  e->compute_logits(prompt, [&](int32_t index, std::span<const float> row) {
    EXPECT_EQ(static_cast<size_t>(index) * row.size(), all.size());
    all.insert(all.end(), row.begin(), row.end());
  });
  EXPECT_TRUE(all == expected);
}

// Hidden states are what the head turns into the logits, whatever runs beside them and however they are cut.
TEST_P(DecoderLaw, HiddenStatesAreTheModelsOwn) {
  auto prompt = ids(150, 6);
  auto decoder = model_->decoder(GetParam().kv);
  TestSequence sequence(*decoder, 256);
  auto expected = sequence.feed(prompt);
  auto e = engine();
  auto hidden_of = [&] {
    std::vector<float> all;
    e->compute_hidden(prompt, [&](int32_t index, std::span<const float> row) {
      EXPECT_EQ(static_cast<size_t>(index) * row.size(), all.size());
      all.insert(all.end(), row.begin(), row.end());
    });
    return all;
  };
  std::vector<float> hidden = hidden_of();
  auto beside = e->submit(request(64, 40, 2));
  EXPECT_TRUE(hidden_of() == hidden);
  const DecoderConfig& c = decoder->config();
  ASSERT_EQ(hidden.size(), prompt.size() * static_cast<size_t>(c.hidden_size));
  if (c.logits_soft_cap > 0) return;
  std::vector<float> logits(expected.size());
  auto rows = static_cast<int64_t>(prompt.size());
  decoder->executor().linear(f32_matrix(hidden.data(), rows, c.hidden_size), decoder->weights().lm_head,
                             f32_matrix(logits.data(), rows, c.vocab_size));
  decoder->executor().synchronize();
  for (size_t i = 0; i < logits.size(); ++i)
    ASSERT_NEAR(logits[i] * c.logits_scale, expected[i], 1e-4f + 1e-4f * std::abs(expected[i])) << i;
}

TEST_P(DecoderLaw, GreedyFollowsTheLogits) {
  auto decoder = model_->decoder(GetParam().kv);
  TestSequence sequence(*decoder, 256);
  Request r = request(64, 10, 2);
  auto got = tokens(alone(r));
  auto vocab = static_cast<ptrdiff_t>(model_->config.vocab_size);
  auto logits = sequence.feed(r.input_ids);
  for (int32_t t : got) {
    auto last = logits.end() - vocab;
    EXPECT_EQ(t, std::max_element(last, logits.end()) - last);
    logits = sequence.feed({t});
  }
}

TEST_P(DecoderLaw, WindowsAreGroupsOfTheirOwn) {
  auto specs = model_->decoder(GetParam().kv)->cache_specs();
  if (GetParam().name != "window") {
    EXPECT_EQ(specs.size(), 1u);
    return;
  }
  ASSERT_EQ(specs.size(), 2u);
  EXPECT_EQ(specs[0].layers, std::vector<int32_t>{1});
  EXPECT_EQ(specs[1].layers, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(specs[1].window, 40);
  // Far beyond the window and through the least pool, against the decoder with all pages kept.
  auto decoder = model_->decoder(GetParam().kv);
  TestSequence sequence(*decoder, 512);
  Request r = request(400, 20, 2);
  EngineConfig c = model_->engine_config();
  c.cache_max_entry_count = 7;
  auto got = tokens(drain(*engine(c)->submit(r)));
  auto vocab = static_cast<ptrdiff_t>(model_->config.vocab_size);
  sequence.feed({r.input_ids.begin(), r.input_ids.begin() + 200});
  auto logits = sequence.feed({r.input_ids.begin() + 200, r.input_ids.end()});
  for (int32_t t : got) {
    auto last = logits.end() - vocab;
    EXPECT_EQ(t, std::max_element(last, logits.end()) - last);
    logits = sequence.feed({t});
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DecoderLaw,
                         testing::Values(Case{"tiny", KvType::kF32}, Case{"tiny", KvType::kBF16},
                                         Case{"tiny", KvType::kI8}, Case{"tiny", KvType::kK8V4},
                                         Case{"tiny", KvType::kI4}, Case{"real", KvType::kBF16},
                                         Case{"real", KvType::kI8}, Case{"real", KvType::kK8V4}),
                         [](const auto& c) { return c.param.name + "_" + kv_type_name(c.param.kv); });

}  // namespace
}  // namespace turgo
