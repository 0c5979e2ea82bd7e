// Laws of sessions over real arithmetic, bit for bit: what was evicted, or saved by a process that was then
// killed, answers as if it had stayed. Over a tiny random Llama with every cache type, and over the model
// that TURGO_MODEL names; TURGO_FULL=1 takes every length there too.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "engine/law_harness.h"

extern char** environ;

namespace turgo {
namespace {

std::unique_ptr<Engine> make_engine(const LawCase& c, double num_blocks = 100) {
  EngineConfig config = law_config();
  config.cache_max_entry_count = num_blocks;
  return law_engine(c, config);
}

// The turn'th request of session `id`, and the same with its whole history for an engine without memory.
struct Turn {
  Request stateful, stateless;
};
Turn turn_of(const LawCase& c, Engine& e, const std::string& id, int32_t first_length, uint32_t turn,
             uint32_t seed) {
  Turn t;
  t.stateful = law_request(c, turn == 0 ? first_length : 20, 6, seed + 2 * turn);
  t.stateless = t.stateful;
  t.stateful.session_id = id;
  if (turn > 0) {
    auto history = e.session_tokens(id, "");
    t.stateless.input_ids.insert(t.stateless.input_ids.begin(), history.begin(), history.end());
  }
  return t;
}

std::string session_name(int32_t length, uint32_t seed) {
  return fmt::format("{}-{}", length, seed);
}

using SessionLaw = LawTest;

// Three sessions or more of two blocks or more take turns in a pool of five: they find their blocks taken.
TEST_P(SessionLaw, EvictedAndResumedIsNeverEvicted) {
  int num_recomputed = 0;
  auto e = make_engine(GetParam(), 5), memoryless = law_engine(GetParam(), memoryless_config());
  for (uint32_t turn = 0; turn < 3; ++turn)
    for (int32_t n : law_lengths(GetParam()))
      for (uint32_t seed : {10u, 21u, 30u}) {
        Turn t = turn_of(GetParam(), *e, session_name(n, seed), n, turn, seed);
        RequestStats stats;
        EXPECT_EQ(law_answer(*e, t.stateful, &stats), law_answer(*memoryless, t.stateless))
            << n << " turn " << turn;
        num_recomputed += stats.cached_tokens < stats.history_tokens - 1;
      }
  EXPECT_GE(num_recomputed, 3);
}

// Two turns of each session.
void converse(Engine& e, const LawCase& c) {
  for (int32_t n : law_lengths(c))
    for (uint32_t seed : {4u, 5u})
      for (uint32_t turn = 0; turn < 2; ++turn)
        law_answer(e, turn_of(c, e, session_name(n, seed), n, turn, seed).stateful);
}

TEST_P(SessionLaw, SavedKilledLoadedIsKept) {
  const LawCase& c = GetParam();
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
  for (int32_t n : law_lengths(c))
    for (uint32_t seed : {4u, 5u}) {
      std::string id = session_name(n, seed);
      loaded->load_session((folder / id).string(), id, "");
      EXPECT_EQ(loaded->session_tokens(id, ""), kept->session_tokens(id, ""));
      Turn t = turn_of(c, *kept, id, n, 2, seed);
      EXPECT_EQ(law_answer(*loaded, t.stateful), law_answer(*kept, t.stateful)) << id;
    }
  std::filesystem::remove_all(folder);
}

// The process that is killed: converses, saves, and dies in the middle of an answer.
TEST(SessionLawChild, SavesAndDies) {
  const char* job = std::getenv("TURGO_LAW_CHILD");
  if (!job) GTEST_SKIP() << "run by SessionLaw.SavedKilledLoadedIsKept";
  LawCase c;
  int kv = 0;
  std::string folder;
  std::istringstream(job) >> c.model >> kv >> folder;
  c.kv = static_cast<KvType>(kv);
  auto e = make_engine(c);
  converse(*e, c);
  for (int32_t n : law_lengths(c))
    for (uint32_t seed : {4u, 5u})
      e->save_session(session_name(n, seed), "", folder + "/" + session_name(n, seed));
  Request running = law_request(c, 30, 400, 9);
  auto stream = e->submit(running);
  stream->next();
  kill(getpid(), SIGKILL);
}

INSTANTIATE_TEST_SUITE_P(Models, SessionLaw, law_cases(), law_case_name);

}  // namespace
}  // namespace turgo
