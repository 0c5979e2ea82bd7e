// Tensor parallelism over threads: --tp N = --tp 1 within f32 rounding, on every golden model and on the one
// that TURGO_MODEL names; the engine's laws hold between ranks too; a rank that fails leaves nobody waiting.
#include "engine/tp_runner.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "comm/thread_group.h"
#include "core/error.h"
#include "io/model_file.h"
#include "models/load_model.h"
#include "ops/eager.h"

#pragma GCC diagnostic ignored "-Wrestrict"  // GCC PR 105651

namespace turgo {
namespace {

constexpr int32_t kSessionLen = 256;

std::string golden_folder(const std::string& name) {
  return std::string(TURGO_SOURCE_DIR) + "/tests/goldens/models/" + name;
}

std::vector<std::string> golden_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder("")))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<RankModel> load_ranks(const std::string& path, std::vector<std::shared_ptr<Group>> groups,
                                  KvType kv = KvType::kF32, Precision precision = Precision::kF32) {
  std::vector<RankModel> ranks;
  auto file = open_model(path);
  for (size_t r = 0; r < groups.size(); ++r) {
    LoadOptions options;
    options.plan.rank = static_cast<int>(r);
    options.plan.world = static_cast<int>(groups.size());
    LoadedModel model = load_model(file, options);
    auto group = groups.size() > 1 ? groups[r] : nullptr;
    auto executor =
        make_eager_executor(std::make_shared<ThreadTeam>(1), *select_kernels(nullptr), precision, group);
    ranks.push_back(
        {std::make_shared<Decoder>(model.config, model.weights, executor, kv, kSessionLen, 64), group});
  }
  return ranks;
}

std::unique_ptr<Engine> engine(const std::vector<RankModel>& ranks) {
  EngineConfig c;
  c.max_batch_size = 8;
  c.max_prefill_tokens = 48;
  c.cache_max_entry_count = 40;
  return create_engine(ranks, c);
}

Request request(const Engine& e, int32_t prompt, uint32_t seed, bool greedy = true) {
  Request r;
  uint64_t x = seed;
  for (int32_t i = 0; i < prompt; ++i) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    r.input_ids.push_back(
        static_cast<int32_t>((x >> 33) % static_cast<uint64_t>(e.model_config().vocab_size)));
  }
  r.max_new_tokens = 20;
  r.ignore_eos = true;
  r.sampling.temperature = greedy ? 0 : 0.8f;
  r.sampling.seed = seed;
  return r;
}

struct Answer {
  std::vector<int32_t> tokens;
  FinishReason finish = FinishReason::kNone;
  std::string error;
  bool operator==(const Answer&) const = default;
};
Answer drain(std::unique_ptr<Stream> stream) {
  Answer a;
  while (auto event = stream->next()) {
    for (auto& t : event->tokens) a.tokens.push_back(t.token_id);
    a.finish = event->finish;
    a.error = event->error;
  }
  return a;
}

std::vector<float> logits_of(Engine& e, const std::vector<int32_t>& ids) {
  std::vector<float> all;
  e.compute_logits(
      ids, [&](int32_t, std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
  return all;
}

// Largest difference of two readings, as a share of the largest logit (at least 1).
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY, largest = 1;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    double d = std::abs(double{a[i]} - double{b[i]});
    worst = std::max(worst, std::isnan(d) ? INFINITY : d);
    largest = std::max(largest, std::abs(double{a[i]}));
  }
  return worst / largest;
}

void expect_same(const std::string& path, int world, int32_t prompt, double tolerance) {
  auto one = engine(load_ranks(path, {nullptr}));
  auto many = engine(load_ranks(path, make_thread_group(world)));
  Request r = request(*one, prompt, 11);
  EXPECT_LE(difference(logits_of(*one, r.input_ids), logits_of(*many, r.input_ids)), tolerance);
  Answer expected = drain(one->submit(r));
  EXPECT_EQ(expected.tokens.size(), 20u);
  EXPECT_EQ(drain(many->submit(r)), expected);
}

class TensorParallel : public testing::TestWithParam<std::string> {};

TEST_P(TensorParallel, TwoRanksAreOne) {
  expect_same(golden_folder(GetParam()), 2, 50, 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Models, TensorParallel, testing::ValuesIn(golden_names()),
                         [](const auto& param) { return param.param; });

// Four ranks over two kv heads (each is copied), and three over four (one rank has two).
TEST(TensorParallelShapes, CopiedAndUnevenHeads) {
  for (const char* name : {"llama_gqa", "internlm2", "qwen2"}) expect_same(golden_folder(name), 4, 30, 1e-5);
  expect_same(golden_folder("llama_bias_tied"), 3, 30, 1e-5);
}

TEST(TensorParallelShapes, TheRealModel) {
  const char* path = std::getenv("TURGO_MODEL");
  if (!path || !*path) GTEST_SKIP() << "set TURGO_MODEL to a model file";
  expect_same(path, 2, 40, 1e-5);
}

TEST(TensorParallelLaw, BatchSessionsAndPrefixHitsAreSingles) {
  for (KvType kv : {KvType::kBF16, KvType::kI8, KvType::kK8V4}) {
    auto ranks = load_ranks(golden_folder("llama_head_dim"), make_thread_group(2), kv);
    auto e = engine(ranks);
    std::vector<std::unique_ptr<Stream>> streams;
    for (uint32_t i = 0; i < 6; ++i)
      streams.push_back(e->submit(request(*e, 60 + static_cast<int32_t>(i), i, i % 2)));
    for (uint32_t i = 0; i < 6; ++i) {
      auto alone = engine(load_ranks(golden_folder("llama_head_dim"), make_thread_group(2), kv));
      EXPECT_EQ(drain(std::move(streams[i])),
                drain(alone->submit(request(*alone, 60 + static_cast<int32_t>(i), i, i % 2))));
    }
    Request hit = request(*e, 65, 5, true);
    EXPECT_EQ(drain(e->submit(hit)), drain(e->submit(hit)));
  }
}

// Layers in steps of their own: 20 rows with some layers before and after a row that goes through all.
TEST(TensorParallelLaw, LayeredRowsArePlainRows) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 21; ++i) ids.push_back(i * 7 % 50);
  std::vector<std::vector<float>> logits;
  for (bool apart : {false, true}) {
    TpRunner runner(load_ranks(golden_folder("llama_gqa"), make_thread_group(2)), CachePlan{4, {}});
    const int32_t num_layers = runner.limits().num_layers;
    ASSERT_GE(num_layers, 2);
    int32_t first_block = 2, second_block = 1;
    StepSlice prompt, other;
    prompt.token_ids = ids.data();
    prompt.num_rows = 20;
    prompt.block_table = &first_block;
    other.token_ids = ids.data() + 20;
    other.num_rows = 1;
    other.block_table = &second_block;
    other.all_logits = true;
    StepResult result;
    using Layers = std::pair<int32_t, int32_t>;
    Layers all{0, num_layers};
    std::vector<Layers> steps = {all, all, all};
    if (apart) steps = {{0, 1}, {1, 1}, {1, num_layers}};
    for (auto [begin, end] : steps) {
      StepPlan plan;
      prompt.all_logits = end == num_layers;
      if (other.first_index == 0) plan.block_ops = {{first_block}, {second_block}};
      plan.slices = {prompt, other};
      plan.num_rows = 21;
      if (apart) plan.layered = {begin, end, end == num_layers};
      result = {};
      result.slices.resize(2);
      runner.execute(plan, result);
      ++other.first_index;
    }
    logits.push_back(result.slices[0].logits);
    logits.push_back(result.slices[1].logits);
    ASSERT_FALSE(logits.back().empty());
  }
  EXPECT_TRUE(logits[0] == logits[2]);
  EXPECT_TRUE(logits[1] == logits[3]);
}

// A group whose rank fails in the middle of a step, once.
class FailingGroup : public Group {
 public:
  FailingGroup(std::shared_ptr<Group> inner, std::atomic<int>& countdown)
      : inner_(std::move(inner)), countdown_(countdown) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  void all_reduce(float* data, int64_t count) override {
    if (countdown_.fetch_sub(1) == 1)
      fail(ErrorCode::kResourceExhausted, "no memory left on rank {}", rank());
    inner_->all_reduce(data, count);
  }
  void all_gather(const float* local, int64_t count, float* full) override {
    inner_->all_gather(local, count, full);
  }
  void abort() override { inner_->abort(); }
  void reset() override { inner_->reset(); }

 private:
  std::shared_ptr<Group> inner_;
  std::atomic<int>& countdown_;
};

TEST(TensorParallelFailure, AFailingRankEndsItsStepAndNothingElse) {
  for (size_t failing : {0u, 1u}) {
    std::atomic<int> countdown = 1 << 30;
    auto groups = make_thread_group(2);
    groups[failing] = std::make_shared<FailingGroup>(groups[failing], countdown);
    auto e = engine(load_ranks(golden_folder("llama_gqa"), groups));
    Answer expected = drain(e->submit(request(*e, 30, 3)));
    EXPECT_EQ(expected.finish, FinishReason::kLength);
    for (int at : {1, 2, 5, 30}) {
      countdown = at;
      Answer broken = drain(e->submit(request(*e, 31, static_cast<uint32_t>(at))));
      EXPECT_EQ(broken.finish, FinishReason::kError);
      EXPECT_EQ(broken.error, fmt::format("no memory left on rank {}", failing));
      EXPECT_EQ(drain(e->submit(request(*e, 30, 3))), expected);
    }
  }
}

}  // namespace
}  // namespace turgo
