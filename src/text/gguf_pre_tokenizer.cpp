#include "text/gguf_pre_tokenizer.h"

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "core/error.h"

namespace turgo {
namespace {

using Kind = PreTokenizerStep::Kind;

PreTokenizerStep scan(Kind kind, int max_digits = 1) {
  PreTokenizerStep step{};
  step.kind = kind;
  step.max_digits = max_digits;
  return step;
}

PreTokenizerStep digits() {
  PreTokenizerStep step{};
  step.kind = Kind::kDigits;
  step.individual = true;
  return step;
}

PreTokenizerStep regex(std::string pattern) {
  PreTokenizerStep step{};
  step.kind = Kind::kSplit;
  step.is_regex = true;
  step.pattern = std::move(pattern);
  return step;
}

// Published patterns, in the spelling of the models' tokenizer.json.
constexpr const char* kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kFalconPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";
constexpr const char* kDefaultPunctuation = R"([\p{P}\$\+<=>\^~\|]+)";
constexpr const char* kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";

}  // namespace

GgufPreTokenizer gguf_pre_tokenizer(const std::string& name, const std::string& file) {
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  GgufPreTokenizer pre;
  if (is({"gpt-2",   "gpt2",        "phi-2",           "mpt",        "olmo",
          "jais",    "trillion",    "granite-docling", "exaone4",    "gigachat",
          "mellum",  "jina-es",     "jina-de",         "jina-v2-es", "jina-v2-de",
          "a.x-4.0", "modern-bert", "roberta-bpe",     "jina-v1-en", "jina-v2-code"})) {
    pre.steps = {scan(Kind::kGpt2)};
  } else if (is({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
                 "mellum2"})) {
    pre.steps = {digits(), scan(Kind::kGpt2)};
  } else if (is({"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                 "jina-v5-nano"})) {
    pre.steps = {scan(Kind::kLlama3, 3)};
    pre.ignore_merges = pre.add_bos = true;
  } else if (is({"dbrx", "smaug-bpe", "chatglm-bpe", "glm4", "glm5"})) {
    pre.steps = {scan(Kind::kLlama3, 3)};
    pre.ignore_merges = is({"glm4", "glm5"});
  } else if (is({"qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "stablelm2", "megrez", "hunyuan",
                 "solar-open", "grok-2"})) {
    pre.steps = {scan(Kind::kLlama3, 1)};
    pre.nfc = is({"qwen2", "deepseek-r1-qwen", "megrez"});
  } else if (is({"qwen35"})) {
    pre.steps = {regex(kQwen35)};
    pre.nfc = true;
  } else if (is({"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"})) {
    pre.steps = {regex(kGpt4o)};
  } else if (is({"tekken"})) {
    pre.steps = {regex(kTekken)};
    pre.ignore_merges = pre.add_bos = true;
  } else if (is({"seed-coder"})) {
    pre.steps = {regex(kSeedCoder)};
  } else if (is({"bailingmoe", "bailingmoe2", "llada-moe"})) {
    pre.steps = {regex(kBailing)};
  } else if (is({"deepseek-v3", "hunyuan-dense", "joyai-llm"})) {
    pre.steps = {regex(R"(\p{N}{1,3})"), regex("[一-龥\u3040-ゟ゠-ヿ]+"), regex(kDeepSeek3)};
  } else if (is({"deepseek-coder"})) {
    pre.steps = {regex(R"([\r\n])"), regex(R"(\s?\p{L}+)"), regex(R"(\s?\p{P}+)"),
                 regex(R"([\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+)"), digits()};
  } else if (is({"falcon"})) {
    pre.steps = {regex(kFalconPunctuation), scan(Kind::kGpt2), regex("[0-9][0-9][0-9]")};
  } else if (is({"bloom", "poro-chat", "gpt3-finnish"})) {
    pre.steps = {regex(kBloom)};
  } else if (is({"viking"})) {
    pre.steps = {regex(kBloom), digits()};
  } else if (is({"default", ""})) {
    pre.steps = {regex(kDefaultPunctuation), scan(Kind::kGpt2), regex(R"(\p{N}+)"), regex("[0-9][0-9][0-9]")};
  } else {
    fail(ErrorCode::kUnsupported,
         "{}: expected a known pre-tokenizer (gpt-2, smollm, llama-bpe, qwen2, gpt-4o, tekken, deepseek-v3 "
         "…) in "
         "tokenizer.ggml.pre, got {}; use the model's Hugging Face folder instead",
         file, quote(name));
  }
  return pre;
}

}  // namespace turgo
