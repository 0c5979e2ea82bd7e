// Laws of sessions over real arithmetic, bit for bit: what was evicted, or saved by a process that was then
// killed, answers as if it had stayed. Over a tiny random Llama with every cache type, and over the model
// that TURGO_MODEL names; TURGO_FULL=1 takes every length there too.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>

#include "core/error.h"
#include "core/thread_team.h"
#include "engine/engine.h"
#include "models/load_model.h"
#include "models/tiny_model.h"
#include "ops/eager.h"

#pragma GCC diagnostic ignored "-Wrestrict"  // GCC PR 105651

extern char** environ;

namespace turgo {
namespace {

struct Case {
  std::string model;
  KvType kv;
};

const char* real_path() {
  const char* path = std::getenv("TURGO_MODEL");
  return path && *path ? path : nullptr;
}

std::unique_ptr<Engine> make_engine(const Case& c, double num_blocks = 100, bool prefix_caching = true) {
  static const LoadedModel tiny = [] {
    LoadedModel m;
    m.config = TinyModel::llama_config(2, 64, 160);
    m.weights = TinyModel(3).weights(m.config);
    m.precision = Precision::kF32;
    return m;
  }();
  static const std::unique_ptr<const LoadedModel> real =
      real_path() ? std::make_unique<LoadedModel>(load_model(open_model(real_path()), {})) : nullptr;
  const LoadedModel& m = c.model == "tiny" ? tiny : *real;
  auto executor = make_eager_executor(std::make_shared<ThreadTeam>(2), *select_kernels(nullptr), m.precision);
  EngineConfig config;
  config.max_batch_size = 8;
  config.max_prefill_tokens = 100;
  config.cache_max_entry_count = num_blocks;
  config.enable_prefix_caching = prefix_caching;
  return Engine::create(std::make_shared<Decoder>(m.config, m.weights, executor, c.kv, 512, 256), config);
}

// Greedy for even seeds; sampling with a penalty for odd ones. Logprobs, so that equal means equal logits.
Request request(const Engine& e, int32_t prompt, uint32_t seed) {
  Request r;
  std::mt19937 rng(seed);
  auto vocab = static_cast<uint32_t>(e.decoder().config().vocab_size);
  for (int32_t i = 0; i < prompt; ++i) r.input_ids.push_back(static_cast<int32_t>(rng() % vocab));
  r.max_new_tokens = 6;
  r.ignore_eos = true;
  r.sampling.temperature = seed % 2 ? 0.9f : 0.0f;
  r.sampling.repetition_penalty = seed % 2 ? 1.1f : 1.0f;
  r.sampling.seed = seed;
  r.sampling.num_logprobs = 1;
  return r;
}

using Answer = std::vector<std::pair<int32_t, float>>;
Answer answer(Engine& e, const Request& r, RequestStats* stats = nullptr) {
  Answer a;
  auto stream = e.submit(r);
  while (auto event = stream->next()) {
    EXPECT_NE(event->finish, FinishReason::kError) << event->error;
    if (stats) *stats = event->stats;
    for (auto& t : event->tokens) a.emplace_back(t.token_id, t.logprob);
  }
  return a;
}

// The turn'th request of session `id`, and the same with its whole history for an engine without memory.
struct Turn {
  Request stateful, stateless;
};
Turn turn_of(Engine& e, const std::string& id, int32_t first_length, uint32_t turn, uint32_t seed) {
  Turn t;
  t.stateful = request(e, turn == 0 ? first_length : 20, seed + 2 * turn);
  t.stateless = t.stateful;
  t.stateful.session_id = id;
  if (turn > 0) {
    auto history = e.session_tokens(id, "");
    t.stateless.input_ids.insert(t.stateless.input_ids.begin(), history.begin(), history.end());
  }
  return t;
}

constexpr int32_t kLengths[] = {63, 64, 65};
std::string session_name(int32_t length, uint32_t seed) {
  return fmt::format("{}-{}", length, seed);
}

// All of them for the tiny model or with TURGO_FULL, one for the real one.
std::vector<int32_t> lengths(const Case& c) {
  if (c.model == "tiny" || std::getenv("TURGO_FULL")) return {std::begin(kLengths), std::end(kLengths)};
  return {64};
}

class SessionLaw : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (GetParam().model == "real" && !real_path()) GTEST_SKIP() << "set TURGO_MODEL to a model file";
  }
};

// Three sessions or more of up to three blocks take turns in a pool of five: they find their blocks taken.
TEST_P(SessionLaw, EvictedAndResumedIsNeverEvicted) {
  int num_recomputed = 0;
  auto e = make_engine(GetParam(), 5), memoryless = make_engine(GetParam(), 100, false);
  for (uint32_t turn = 0; turn < 3; ++turn)
    for (int32_t n : lengths(GetParam()))
      for (uint32_t seed : {10u, 21u, 30u}) {
        Turn t = turn_of(*e, session_name(n, seed), n + 40, turn, seed);
        RequestStats stats;
        EXPECT_EQ(answer(*e, t.stateful, &stats), answer(*memoryless, t.stateless)) << n << " turn " << turn;
        num_recomputed += stats.cached_tokens < stats.history_tokens - 1;
      }
  EXPECT_GE(num_recomputed, 3);
}

// Two turns of each session.
void converse(Engine& e, const Case& c) {
  for (int32_t n : lengths(c))
    for (uint32_t seed : {4u, 5u})
      for (uint32_t turn = 0; turn < 2; ++turn)
        answer(e, turn_of(e, session_name(n, seed), n, turn, seed).stateful);
}

TEST_P(SessionLaw, SavedKilledLoadedIsKept) {
  const Case& c = GetParam();
  auto folder = std::filesystem::path(testing::TempDir()) /
                fmt::format("turgo_law_{}_{}_{}", c.model, kv_type_name(c.kv), getpid());
  std::filesystem::create_directories(folder);
  std::string job = fmt::format("TURGO_LAW_CHILD={} {} {}", c.model, static_cast<int>(c.kv), folder.string());
  std::vector<char*> env;
  for (char** v = environ; *v; ++v) env.push_back(*v);
  env.push_back(job.data());
  env.push_back(nullptr);
  std::string name = "law", filter = "--gtest_filter=SessionLawChild.*";
  char* argv[] = {name.data(), filter.data(), nullptr};
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv, env.data()), 0);

  auto kept = make_engine(c);
  converse(*kept, c);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  auto loaded = make_engine(c);
  for (int32_t n : lengths(c))
    for (uint32_t seed : {4u, 5u}) {
      std::string id = session_name(n, seed);
      loaded->load_session((folder / id).string(), id, "");
      EXPECT_EQ(loaded->session_tokens(id, ""), kept->session_tokens(id, ""));
      Turn t = turn_of(*kept, id, n, 2, seed);
      EXPECT_EQ(answer(*loaded, t.stateful), answer(*kept, t.stateful)) << id;
    }
  std::filesystem::remove_all(folder);
}

// The process that is killed: converses, saves, and dies in the middle of an answer.
TEST(SessionLawChild, SavesAndDies) {
  const char* job = std::getenv("TURGO_LAW_CHILD");
  if (!job) GTEST_SKIP() << "run by SessionLaw.SavedKilledLoadedIsKept";
  Case c;
  int kv = 0;
  std::string folder;
  std::istringstream(job) >> c.model >> kv >> folder;
  c.kv = static_cast<KvType>(kv);
  auto e = make_engine(c);
  converse(*e, c);
  for (int32_t n : lengths(c))
    for (uint32_t seed : {4u, 5u})
      e->save_session(session_name(n, seed), "", folder + "/" + session_name(n, seed));
  Request running = request(*e, 30, 9);
  running.max_new_tokens = 400;
  auto stream = e->submit(running);
  stream->next();
  kill(getpid(), SIGKILL);
}

INSTANTIATE_TEST_SUITE_P(Models, SessionLaw,
                         testing::Values(Case{"tiny", KvType::kF32}, Case{"tiny", KvType::kBF16},
                                         Case{"tiny", KvType::kI8}, Case{"tiny", KvType::kK8V4},
                                         Case{"tiny", KvType::kI4}, Case{"real", KvType::kBF16},
                                         Case{"real", KvType::kI8}, Case{"real", KvType::kK8V4}),
                         [](const auto& c) { return c.param.model + "_" + kv_type_name(c.param.kv); });

}  // namespace
}  // namespace turgo
