// Parity with transformers (and the published InternLM2) on tiny random models: tests/goldens/models, written
// by tools/make_goldens.py. Every folder must give |logit difference| <= 2e-4 in f32, whole, in chunks and
// token by token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "core/json.h"
#include "io/npy.h"
#include "models/load_model.h"
#include "models/tiny_model.h"
#include "ops/eager.h"

namespace turgo {
namespace {

constexpr float kTolerance = 2e-4f;

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

struct Golden {
  explicit Golden(const std::string& name) : logits(golden_folder(name) + "/logits.npy") {
    Json json = parse_json_file(golden_folder(name) + "/golden.json");
    tokens = json["tokens"].get<std::vector<int32_t>>();
    prompt_tokens = json["prompt_tokens"].get<int>();
  }
  NpyReader logits;  // {tokens, vocab_size}
  std::vector<int32_t> tokens;
  int prompt_tokens = 0;
};

Decoder load(const std::string& folder, const Golden& golden, void (*change)(DecoderConfig&) = nullptr) {
  LoadedModel model = load_model(open_model(folder), {});
  if (change) change(model.config);
  auto executor =
      make_eager_executor(std::make_shared<ThreadTeam>(2), *select_kernels(nullptr), Precision::kF32);
  // Scalings that depend on the length are chosen for as many tokens as the reference saw.
  auto length = static_cast<int32_t>(golden.tokens.size());
  return Decoder(model.config, model.weights, executor, KvType::kF32, length, length);
}

// Largest |difference| to the golden's rows from `first` on.
float difference(const Golden& golden, int64_t first, const std::vector<float>& got) {
  float worst = 0;
  int64_t n = golden.logits.num_cols();
  for (size_t i = 0; i < got.size(); ++i) {
    float d = std::abs(got[i] - golden.logits.row(first + static_cast<int64_t>(i) / n)[i % n]);
    worst = std::isnan(d) ? INFINITY : std::max(worst, d);
  }
  return worst;
}

class GoldenTest : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, OneForward) {
  Golden golden(GetParam());
  Decoder decoder = load(golden_folder(GetParam()), golden);
  auto logits = TestSequence(decoder, 64).feed(golden.tokens);
  EXPECT_LE(difference(golden, 0, logits), kTolerance);
}

TEST_P(GoldenTest, PromptInChunksThenDecode) {
  Golden golden(GetParam());
  Decoder decoder = load(golden_folder(GetParam()), golden);
  TestSequence sequence(decoder, 64);
  auto num_tokens = static_cast<int>(golden.tokens.size());
  for (int at = 0; at < num_tokens;) {
    int n = at < golden.prompt_tokens ? std::min(11, golden.prompt_tokens - at) : 1;
    auto logits = sequence.feed({golden.tokens.begin() + at, golden.tokens.begin() + at + n});
    ASSERT_LE(difference(golden, at, logits), kTolerance) << "token " << at;
    at += n;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, testing::ValuesIn(golden_names()),
                         [](const auto& param) { return param.param; });

// The list is written here so that a golden that disappears is noticed.
TEST(Goldens, AllArePresent) {
  EXPECT_THAT(golden_names(),
              testing::ElementsAre("gemma3", "gemma3_nested", "gguf_gemma3", "gguf_llama", "gguf_llama3",
                                   "gguf_qwen2", "internlm2", "internlm2_bias", "internlm2_dynamic",
                                   "llama_bias_tied", "llama_dynamic", "llama_gqa", "llama_head_dim",
                                   "llama_linear", "llama_llama3", "llama_longrope", "llama_longrope_short",
                                   "llama_widths", "llama_yarn", "mistral", "qwen2", "qwen3"));
}

// The logits are far enough apart that the tolerance means something: a wrong rope, window or norm is seen.
TEST(Goldens, VariantsOfOneModelDiffer) {
  Golden plain("llama_gqa");
  for (const char* name : {"llama_linear", "llama_dynamic", "llama_yarn", "llama_llama3", "llama_longrope",
                           "llama_longrope_short"}) {
    Golden scaled(name);
    ASSERT_EQ(scaled.tokens, plain.tokens);
    std::vector<float> rows;
    for (int64_t i = 0; i < scaled.logits.num_rows(); ++i)
      rows.insert(rows.end(), scaled.logits.row(i).begin(), scaled.logits.row(i).end());
    EXPECT_GT(difference(plain, 0, rows), 100 * kTolerance) << name;
  }
}

// Every field that an architecture file sets must matter to its golden; else the golden proves nothing about
// it.
TEST(Goldens, ChangedFieldsAreSeen) {
  struct Change {
    const char* golden;
    const char* field;
    void (*apply)(DecoderConfig&);
  };
  const Change changes[] = {
      {"mistral", "window", [](DecoderConfig& c) { c.layers[0].sliding_window = 9; }},
      {"gemma3", "window", [](DecoderConfig& c) { c.layers[0].sliding_window = 9; }},
      {"gemma3", "local rope", [](DecoderConfig& c) { c.layers[1].rope = 0; }},
      {"gemma3", "global rope", [](DecoderConfig& c) { c.layers[2].rope = 1; }},
      {"gemma3", "embedding scale", [](DecoderConfig& c) { c.embedding_scale = 5.65625f; }},
      {"gemma3", "attention scale", [](DecoderConfig& c) { c.attention_scale = 0.25f; }},
      {"gemma3", "activation", [](DecoderConfig& c) { c.activation = Activation::kGelu; }},
      {"gemma3_nested", "rounded embedding scale",
       [](DecoderConfig& c) { c.embedding_scale = std::sqrt(32.0f); }},
      {"gemma3_nested", "linear factor", [](DecoderConfig& c) { c.ropes[0].factor = 7; }},
      {"gguf_llama", "interleaved rope", [](DecoderConfig& c) { c.ropes[0].interleaved = false; }},
      {"gguf_qwen2", "interleaved rope", [](DecoderConfig& c) { c.ropes[0].interleaved = true; }},
      {"llama_yarn", "original length", [](DecoderConfig& c) { c.ropes[0].original_max_position = 512; }},
      {"internlm2_dynamic", "factor", [](DecoderConfig& c) { c.ropes[0].factor = 3; }},
  };
  for (const Change& change : changes) {
    Golden golden(change.golden);
    Decoder decoder = load(golden_folder(change.golden), golden, change.apply);
    float d = difference(golden, 0, TestSequence(decoder, 64).feed(golden.tokens));
    EXPECT_GT(d, 2 * kTolerance) << change.golden << ": " << change.field;
  }
}

TEST(Goldens, InternLM2IsTheReMappedLlama) {
  Golden llama("llama_gqa");
  Decoder decoder = load(golden_folder("internlm2"), llama);
  EXPECT_LE(difference(llama, 0, TestSequence(decoder, 64).feed(llama.tokens)), kTolerance);
}

}  // namespace
}  // namespace turgo
