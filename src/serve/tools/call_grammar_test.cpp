// Calls against the masks of their grammar, over a vocabulary of single bytes and control tokens.
#include "serve/tools/call_grammar.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace turgo {
namespace {

constexpr int32_t kStop = 128;

class BytesAndMarkers : public Tokenizer {
 public:
  explicit BytesAndMarkers(std::vector<std::string> markers) : markers_(std::move(markers)) {
    markers_.insert(markers_.begin(), "<stop>");
  }
  std::vector<int32_t> encode(std::string_view text, bool) const override {
    std::vector<int32_t> out;
    while (!text.empty()) {
      int32_t id = text[0];
      size_t used = 1;
      for (size_t i = 0; i < markers_.size(); ++i)
        if (text.starts_with(markers_[i])) id = static_cast<int32_t>(128 + i), used = markers_[i].size();
      out.push_back(id);
      text.remove_prefix(used);
    }
    return out;
  }
  std::vector<int32_t> encode(const MarkedText&) const override { return {}; }
  std::string decode(std::span<const int32_t>, bool) const override { return ""; }
  std::string piece(int32_t id, bool) const override {
    return id < 128 ? std::string(1, static_cast<char>(id)) : markers_[static_cast<size_t>(id - 128)];
  }
  int32_t vocab_size() const override { return 128 + static_cast<int32_t>(markers_.size()); }
  int32_t token_to_id(std::string_view token) const override {
    std::vector<int32_t> ids = encode(token, true);
    return ids.size() == 1 ? ids[0] : -1;
  }
  std::string id_to_token(int32_t id) const override { return piece(id, false); }
  bool is_special(int32_t id) const override { return id >= 128; }
  size_t max_stripped_spaces() const override { return 0; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return kStop; }
  bool add_bos() const override { return false; }
  bool add_eos() const override { return false; }

 private:
  std::vector<std::string> markers_;
};

struct Row {
  const char* format;
  std::vector<std::string> markers;    // that are control tokens
  std::string begin, end;              // of a call of f
  std::vector<std::string> not_calls;  // free text that "auto" allows
};

std::vector<Row> rows() {
  return {
      {"hermes",
       {},
       "<tool_call>\n{\"name\": \"f\", \"arguments\": ",
       "}\n</tool_call>",
       {"Hello.", "a < b"}},
      {"hermes",
       {"<tool_call>", "</tool_call>"},
       "<tool_call>\n{\"name\": \"f\", \"arguments\": ",
       "}\n</tool_call>",
       {"Hello."}},
      {"mistral", {"[TOOL_CALLS]", "[ARGS]"}, "[TOOL_CALLS]f[ARGS]", "", {"Hello.", "[not a call]"}},
      {"mistral", {"[TOOL_CALLS]"}, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": ", "}]", {"Hello."}},
      {"mistral", {"[TOOL_CALLS]"}, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": ", "}]", {}},
      {"mistral",
       {"[TOOL_CALLS]"},
       "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": 2}}, {\"name\": \"f\", \"arguments\": ",
       "}]",
       {}},
      {"deepseek_v3",
       {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"},
       "<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n",
       "\n```<｜tool▁call▁end｜>",
       {"Hello."}},
      {"deepseek_v3",
       {"<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>"},
       "<｜tool▁call▁begin｜>f<｜tool▁sep｜>",
       "<｜tool▁call▁end｜>",
       {}},
      {"internlm2",
       {"<|action_start|>", "<|plugin|>", "<|action_end|>"},
       "<|action_start|><|plugin|>\n{\"name\": \"f\", \"parameters\": ",
       "}<|action_end|>",
       {"Hello."}},
      {"internlm2",
       {},
       "<|action_start|><|plugin|>{\"name\": \"f\", \"parameters\": ",
       "}<|action_end|>",
       {}},
  };
}

ToolRequest request(ToolRequest::Choice choice) {
  ToolRequest out;
  out.tools = Json::parse(R"([{"type": "function", "function": {"name": "f", "description": "",
      "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
                     "additionalProperties": false}}}])");
  out.choice = choice;
  return out;
}

class CallGrammarTest : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    try {
      grammars_.compile({GrammarSpec::Kind::kRegex, "a"});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kUnsupported) GTEST_SKIP() << error.what();
      throw;
    }
  }

  // How many of the text's tokens the masks let through; one more if it may end there.
  size_t allowed(const TokenGrammar& grammar, const std::string& text) const {
    auto mask = grammar.start();
    std::vector<int32_t> ids = tokenizer_.encode(text, true);
    ids.push_back(kStop);
    for (size_t i = 0; i < ids.size(); ++i) {
      std::vector<uint32_t> words((static_cast<size_t>(tokenizer_.vocab_size()) + 31) / 32, 0);
      mask->fill(words);
      auto id = static_cast<size_t>(ids[i]);
      if (!(words[id / 32] >> (id % 32) & 1)) return i;
      mask->accept(ids[i]);
    }
    return ids.size();
  }
  size_t length(const std::string& text) const { return tokenizer_.encode(text, true).size(); }

  BytesAndMarkers tokenizer_{GetParam().markers};
  GrammarCompiler grammars_{[this] {
    GrammarVocabulary out;
    for (int32_t id = 0; id < tokenizer_.vocab_size(); ++id)
      out.pieces.push_back(std::string(id < 128 ? "" : "\xff").append(tokenizer_.piece(id, false)));
    out.stop_ids = {kStop};
    return out;
  }};
};

TEST_P(CallGrammarTest, AutoHoldsCallsAndLeavesTextFree) {
  const Row& row = GetParam();
  auto grammar = grammars_.compile(
      call_grammar(request(ToolRequest::Choice::kAuto), *find_tool_format(row.format), tokenizer_, false));
  for (const std::string& text : row.not_calls) EXPECT_EQ(allowed(*grammar, text), length(text) + 1) << text;
  std::string call = row.begin + "{\"a\": 1}" + row.end;
  for (const std::string& text : {call, "Let me see. " + call, call + row.begin + "{\"a\": 2}" + row.end})
    EXPECT_EQ(allowed(*grammar, text), length(text) + 1) << text;
  EXPECT_EQ(allowed(*grammar, row.begin), length(row.begin)) << "ends inside of the call";
  for (const char* wrong : {"{\"b", "{\"a\": \"", "[", "{}"}) {
    size_t got = allowed(*grammar, row.begin + wrong);
    EXPECT_GE(got, length(row.begin)) << wrong;
    EXPECT_LT(got, length(row.begin + wrong)) << wrong;
  }
  size_t name = row.begin.rfind("f");
  if (row.begin.find("\"f\"") != row.begin.npos) name = row.begin.rfind("\"f\"") + 1;
  std::string unknown = row.begin.substr(0, name) + "g";
  EXPECT_EQ(allowed(*grammar, unknown), length(unknown) - 1) << "a tool that is none";
}

TEST_P(CallGrammarTest, RequiredBeginsWithACall) {
  const Row& row = GetParam();
  auto grammar = grammars_.compile(call_grammar(request(ToolRequest::Choice::kRequired),
                                                *find_tool_format(row.format), tokenizer_, false));
  std::string call = row.begin + "{\"a\": 1}" + row.end;
  EXPECT_EQ(allowed(*grammar, call), length(call) + 1);
  EXPECT_EQ(allowed(*grammar, "Hello."), 0u);
  EXPECT_EQ(allowed(*grammar, ""), 0u);
}

// What is no grammar of calls never lets a marker in, also where any character may stand.
TEST_P(CallGrammarTest, OtherGrammarsHaveNoMarkers) {
  for (const std::string& marker : GetParam().markers) {
    auto any = grammars_.compile({GrammarSpec::Kind::kRegex, "[^b]*"});
    EXPECT_EQ(allowed(*any, "ac"), 3u);
    EXPECT_EQ(allowed(*any, "a" + marker), 1u) << marker;
    auto json = grammars_.compile({GrammarSpec::Kind::kJsonSchema, R"({"type": "string"})"});
    EXPECT_EQ(allowed(*json, "\"x" + marker), 2u) << marker;
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, CallGrammarTest, testing::ValuesIn(rows()),
                         [](const auto& row) { return fmt::format("{}_{}", row.param.format, row.index); });

}  // namespace
}  // namespace turgo
