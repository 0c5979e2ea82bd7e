// Models and requests for the tests of laws over real arithmetic: a tiny random Llama, the same with layers
// that slide, and the model file that TURGO_MODEL names ("real"; TURGO_FULL=1 takes every length of it).
#pragma once

// GCC 12 sees overlapping copies in the assignment of short string literals (PR 105651).
#pragma GCC diagnostic ignored "-Wrestrict"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/thread_team.h"
#include "engine/engine.h"
#include "models/load_model.h"
#include "models/tiny_model.h"
#include "ops/eager.h"

namespace turgo {

struct LawCase {
  std::string model;
  KvType kv;
};

inline std::ostream& operator<<(std::ostream& out, const LawCase& c) {
  return out << c.model << " with " << kv_type_name(c.kv);
}

constexpr int32_t kLawMaxRows = 256;
constexpr int32_t kLawSessionLen = 512;

// Loaded once; null for "real" without TURGO_MODEL.
inline const LoadedModel* law_model(const std::string& name) {
  static std::map<std::string, std::unique_ptr<LoadedModel>> models;
  auto [it, is_new] = models.try_emplace(name);
  if (!is_new) return it->second.get();
  const char* path = std::getenv("TURGO_MODEL");
  if (name == "real") {
    if (path && *path) it->second = std::make_unique<LoadedModel>(load_model(open_model(path), {}));
    return it->second.get();
  }
  it->second = std::make_unique<LoadedModel>();
  LoadedModel& m = *it->second;
  TinyModel tiny(3);
  m.config = TinyModel::llama_config(name == "window" ? 3 : 2, 64, 160);
  if (name == "window")  // two groups, the second gives pages up
    for (size_t l : {0u, 2u}) {
      m.config.layers[l].attention = AttentionKind::kSliding;
      m.config.layers[l].sliding_window = 40;
    }
  m.weights = tiny.weights(m.config);
  m.precision = Precision::kF32;
  return &m;
}

// Every second one has another number of threads.
inline std::shared_ptr<Decoder> law_decoder(const LawCase& c) {
  static int next_threads = 0;
  const LoadedModel& m = *law_model(c.model);
  auto team = std::make_shared<ThreadTeam>(1 + ++next_threads % 2);
  auto executor = make_eager_executor(team, *select_kernels(nullptr), m.precision);
  return std::make_shared<Decoder>(m.config, m.weights, executor, c.kv, kLawSessionLen, kLawMaxRows);
}

inline EngineConfig law_config() {
  EngineConfig c;
  c.max_batch_size = 16;
  c.max_prefill_tokens = 100;
  c.cache_max_entry_count = 100;
  return c;
}

inline EngineConfig memoryless_config() {
  EngineConfig c = law_config();
  c.enable_prefix_caching = false;
  c.max_prefill_tokens = kLawMaxRows;
  return c;
}

inline std::unique_ptr<Engine> law_engine(const LawCase& c, const EngineConfig& config = law_config()) {
  return Engine::create(law_decoder(c), config);
}

inline std::vector<int32_t> law_ids(const LawCase& c, int32_t n, uint32_t seed) {
  std::mt19937 rng(seed);
  auto vocab = static_cast<uint32_t>(law_model(c.model)->config.vocab_size);
  std::vector<int32_t> ids(static_cast<size_t>(n));
  for (int32_t& id : ids) id = static_cast<int32_t>(rng() % vocab);
  return ids;
}

// Greedy for even seeds, sampling for odd ones, with a penalty for every second of these. Logprobs are asked
// for: equal ones mean equal logits, not only equal choices.
inline Request law_request(const LawCase& c, int32_t prompt, int32_t max_new, uint32_t seed) {
  Request r;
  r.input_ids = law_ids(c, prompt, seed);
  r.max_new_tokens = max_new;
  r.ignore_eos = true;
  r.sampling.temperature = seed % 2 ? 0.9f : 0.0f;
  r.sampling.repetition_penalty = seed % 4 == 1 ? 1.1f : 1.0f;
  r.sampling.seed = seed;
  r.sampling.num_logprobs = 2;
  return r;
}

// Of each token its id and logprob, then those of the two best.
using LawAnswer = std::vector<std::pair<int32_t, float>>;
inline LawAnswer law_drain(Stream& stream, RequestStats* stats = nullptr) {
  LawAnswer a;
  while (auto event = stream.next()) {
    EXPECT_NE(event->finish, FinishReason::kError) << event->error;
    if (stats) *stats = event->stats;
    for (auto& t : event->tokens) {
      a.emplace_back(t.token_id, t.logprob);
      for (auto& l : t.top_logprobs) a.emplace_back(l.token_id, l.logprob);
    }
  }
  return a;
}
inline LawAnswer law_answer(Engine& e, Request r, RequestStats* stats = nullptr) {
  return law_drain(*e.submit(std::move(r)), stats);
}
inline std::vector<int32_t> law_tokens(const LawAnswer& a) {
  std::vector<int32_t> tokens;
  for (size_t i = 0; i < a.size(); i += 3) tokens.push_back(a[i].first);
  return tokens;
}

// Of prompts: beside a block's end always, more of them where they cost little.
inline std::vector<int32_t> law_lengths(const LawCase& c) {
  if (c.model != "real") return {63, 64, 65, 1, 130};
  if (std::getenv("TURGO_FULL")) return {63, 64, 65};
  return {64};
}

class LawTest : public testing::TestWithParam<LawCase> {
 protected:
  void SetUp() override {
    if (!law_model(GetParam().model)) GTEST_SKIP() << "set TURGO_MODEL to a model file";
  }
};

inline auto law_cases() {
  using enum KvType;
  return testing::Values(LawCase{"tiny", kF32}, LawCase{"tiny", kBF16}, LawCase{"tiny", kI8},
                         LawCase{"tiny", kK8V4}, LawCase{"tiny", kI4}, LawCase{"window", kF32},
                         LawCase{"window", kK8V4}, LawCase{"real", kBF16}, LawCase{"real", kI8},
                         LawCase{"real", kK8V4});
}
inline std::string law_case_name(const testing::TestParamInfo<LawCase>& c) {
  return c.param.model + "_" + kv_type_name(c.param.kv);
}

}  // namespace turgo
