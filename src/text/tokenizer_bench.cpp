// Tokenizer speed: English text, and the inputs that make other tokenizers quadratic: 1 MB of one character.
//   turgo_text_bench --benchmark_filter=English
#include "text/tokenizer.h"

#include <benchmark/benchmark.h>

#include "text/detokenizer.h"
#include "text/fixture_vocab_test_util.h"
#include "text/tokenizer_spec.h"

namespace turgo {
namespace {

std::shared_ptr<const Tokenizer> tokenizer_of(const std::string& kind) {
  if (kind == "spm_bpe") return Tokenizer::create(read_sentencepiece_model(fixture_path("bpe.model")));
  if (kind == "unigram") return Tokenizer::create(read_sentencepiece_model(fixture_path("unigram.model")));
  return Tokenizer::create(tokenizer_spec_from_gguf(byte_level_fixture(kind)));
}

std::string english(size_t size) {
  std::ifstream in(std::string(TURGO_SOURCE_DIR) + "/LICENSE", std::ios::binary);
  const std::string once{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::string text;
  while (text.size() < size && !once.empty()) text += once;
  return text;
}

std::string repeated(std::string_view piece, size_t size) {
  std::string text;
  while (text.size() < size) text += piece;
  return text;
}

void encode(benchmark::State& state, const std::string& kind, const std::string& text) {
  const auto tokenizer = tokenizer_of(kind);
  size_t num_tokens = 0;
  for (auto _ : state) {
    num_tokens = tokenizer->encode(text).size();
    benchmark::DoNotOptimize(num_tokens);
  }
  state.SetBytesProcessed(static_cast<int64_t>(text.size()) * state.iterations());
  state.counters["tokens"] = static_cast<double>(num_tokens);
}

void decode(benchmark::State& state) {
  const auto tokenizer = tokenizer_of("smollm");
  const auto ids = tokenizer->encode(english(1 << 20));
  for (auto _ : state) {
    Detokenizer detokenizer(tokenizer);
    size_t size = 0;
    for (const int32_t id : ids) size += detokenizer.add(id).size();
    benchmark::DoNotOptimize(size);
  }
  state.SetItemsProcessed(static_cast<int64_t>(ids.size()) * state.iterations());
}

const bool registered = [] {
  constexpr size_t kMegabyte = size_t{1} << 20;
  const std::pair<const char*, std::string> texts[] = {
      {"English", english(kMegabyte)},
      {"A", repeated("A", kMegabyte)},
      {"Space", repeated(" ", kMegabyte)},
      {"Newline", repeated("\n", kMegabyte)},
      {"Digit", repeated("1", kMegabyte)},
      {"Dot", repeated(".", kMegabyte)},
      {"CombiningMark", repeated("\u0301", kMegabyte)},
      {"Chinese", repeated("\u4e2d", kMegabyte)},
      {"Us", repeated("us", kMegabyte)},
      {"ControlToken", repeated("<|im_start|>", kMegabyte)},
  };
  for (const char* kind : {"smollm", "qwen2", "gpt-4o", "spm_bpe", "unigram"})
    for (const auto& [name, text] : texts)
      benchmark::RegisterBenchmark((std::string("Encode1MB/") + kind + "/" + name).c_str(),
                                   [kind, text](benchmark::State& state) { encode(state, kind, text); })
          ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("DetokenizeEnglish/smollm", decode);
  return true;
}();

}  // namespace
}  // namespace turgo
