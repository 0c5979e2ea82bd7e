// Every answer is parsed whole and cut into two pieces at every position, byte by byte, and in pieces of 3:
// always the same content, reasoning and calls.
#include "serve/tools/answer_parser.h"

#include <gtest/gtest.h>

#include <chrono>

namespace turgo {
namespace {

struct Case {
  const char* format;
  std::string text;
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;
  std::string reasoning = "";
  bool thinks = false, starts_thinking = false;
};

std::string type_of(const void*, const std::string&, const std::string& parameter) {
  if (parameter == "city" || parameter == "code" || parameter == "zip") return "string";
  return parameter == "n" ? "integer" : "";
}

AnswerParser::Options options_of(const Case& c) {
  AnswerParser::Options options;
  options.format = find_tool_format(c.format);
  options.thinks = c.thinks;
  options.starts_thinking = c.starts_thinking;
  options.type_of = type_of;
  return options;
}

ParsedAnswer parse(const Case& c, const std::vector<std::string>& pieces) {
  AnswerParser parser(options_of(c));
  ParsedAnswer out;
  for (const std::string& piece : pieces)
    for (const AnswerPart& part : parser.add(piece)) out.add(part);
  for (const AnswerPart& part : parser.finish()) out.add(part);
  return out;
}

void check(const Case& c, const std::vector<std::string>& pieces, const std::string& where) {
  ParsedAnswer got = parse(c, pieces);
  EXPECT_EQ(got.content, c.content) << where;
  EXPECT_EQ(got.reasoning, c.reasoning) << where;
  ASSERT_EQ(got.calls.size(), c.calls.size()) << where;
  for (size_t i = 0; i < c.calls.size(); ++i) {
    EXPECT_EQ(got.calls[i].name, c.calls[i].first) << where;
    EXPECT_EQ(got.calls[i].arguments, c.calls[i].second) << where;
  }
}

const std::string kF = R"({"name": "f", "arguments": {"a": 1}})";
const std::string kG = R"({"name": "g", "arguments": {"s": "x\"}</tool_call>{"}})";
const std::string kGArgs = R"({"s": "x\"}</tool_call>{"})";

std::vector<Case> cases() {
  return {
      // no markers
      {"hermes", "", "", {}},
      {"hermes", "Hello.", "Hello.", {}},
      {"hermes", "  Hello. \n", "  Hello. \n", {}},
      {"hermes", "a < b and <b>c</b> <tool", "a < b and <b>c</b> <tool", {}},
      {"hermes", "größe 🙂 {\"a\": [1]}", "größe 🙂 {\"a\": [1]}", {}},
      {"none", "<tool_call>" + kF + "</tool_call>", "<tool_call>" + kF + "</tool_call>", {}},
      // hermes
      {"hermes", "<tool_call>\n" + kF + "\n</tool_call>", "", {{"f", R"({"a": 1})"}}},
      {"hermes", "<tool_call>" + kF + "</tool_call>", "", {{"f", R"({"a": 1})"}}},
      {"hermes", "Let me see.\n<tool_call>\n" + kF + "\n</tool_call>", "Let me see.", {{"f", R"({"a": 1})"}}},
      {"hermes", "<tool_call>" + kF + "</tool_call>\nDone", "Done", {{"f", R"({"a": 1})"}}},
      {"hermes",
       "<tool_call>" + kF + "</tool_call>\n<tool_call>" + kG + "</tool_call>",
       "",
       {{"f", R"({"a": 1})"}, {"g", kGArgs}}},
      {"hermes", "<tool_call>" + kG + "</tool_call>", "", {{"g", kGArgs}}},
      {"hermes",
       R"(<tool_call>{"arguments": {"a": [1, {"b": "}"}]}, "name": "f"}</tool_call>)",
       "",
       {{"f", R"({"a": [1, {"b": "}"}]})"}}},
      {"hermes", R"(<tool_call>{"name": "f"}</tool_call>)", "", {{"f", "{}"}}},
      {"hermes",
       R"(<tool_call>{"name": "f", "arguments": "{\"a\": 2}"}</tool_call>)",
       "",
       {{"f", R"({"a": 2})"}}},
      {"hermes",
       R"(<tool_call>{"name": "f", "arguments": {"größe": "🙂\u00e9"}}</tool_call>)",
       "",
       {{"f", R"({"größe": "🙂\u00e9"})"}}},
      {"hermes",
       R"(<tool_call>{"name": "f", "arguments": {"a": {"b": {"c": [[]]}}}}</tool_call>)",
       "",
       {{"f", R"({"a": {"b": {"c": [[]]}}})"}}},
      {"hermes",
       R"(<tool_call>[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]</tool_call>)",
       "",
       {{"f", "{}"}, {"g", "{}"}}},
      {"hermes", R"(<tool_call>{"name": "f", "arguments": {"a": 1)", "", {{"f", R"({"a": 1)"}}},
      {"hermes", R"(<tool_call>{"na)", "", {}},
      {"hermes", "<tool_call>", "", {}},
      {"hermes", "x <tool_call>not JSON</tool_call> y", "xnot JSONy", {}},
      {"hermes", "stray </tool_call> end", "strayend", {}},
      {"hermes", "<tool_call>" + kF + "}</tool_call>", "", {{"f", R"({"a": 1})"}}},
      {"hermes",
       R"(<tool_call>{"id": 7, "x": [1, "]"], "name": "f", "arguments": {}}</tool_call>)",
       "",
       {{"f", "{}"}}},
      {"hermes", R"(<tool_call>{"name": "f", "arguments": null}</tool_call>)", "", {{"f", "null"}}},
      // reasoning
      {"hermes", "<think>\nHm.\n</think>\n\nYes.", "Yes.", {}, "Hm.", true},
      {"hermes", "Hm.\n</think>\n\nYes.", "Yes.", {}, "Hm.", true, true},
      {"hermes", "\nHm", "", {}, "Hm", true, true},
      {"hermes", "<think></think>Yes.", "Yes.", {}, "", true},
      {"hermes", "<think>a</think><tool_call>" + kF + "</tool_call>", "", {{"f", R"({"a": 1})"}}, "a", true},
      {"hermes", "<think>call <tool_call> later</think>ok", "ok", {}, "call <tool_call> later", true},
      {"none", "<think>a b</think> c", "c", {}, "a b", true},
      {"hermes", "no thoughts", "no thoughts", {}, "", true},
      {"llama3_json", "<think>a</think>{\"name\": \"f\", \"parameters\": {}}", "", {{"f", "{}"}}, "a", true},
      // qwen3_coder
      {"qwen3_coder",
       "<tool_call>\n<function=f>\n<parameter=city>\nParis\n</parameter>\n<parameter=n>\n3\n</parameter>\n</"
       "function>\n</tool_call>",
       "",
       {{"f", R"({"city": "Paris", "n": 3})"}}},
      {"qwen3_coder", "Ok.\n<tool_call>\n<function=f>\n</function>\n</tool_call>", "Ok.", {{"f", "{}"}}},
      {"qwen3_coder",
       "<function=f><parameter=code>\nif a < b:\n  <x>\n</parameter></function>",
       "",
       {{"f", R"({"code": "if a < b:\n  <x>"})"}}},
      {"qwen3_coder",
       "<tool_call><function=f><parameter=zip>012</parameter></function></tool_call><tool_call><function=g></"
       "function></tool_call>",
       "",
       {{"f", R"({"zip": "012"})"}, {"g", "{}"}}},
      {"qwen3_coder",
       "<tool_call><function=f><parameter=x>[1, {\"a\": true}]</parameter></function></tool_call> bye",
       "bye",
       {{"f", R"({"x": [1,{"a":true}]})"}}},
      {"qwen3_coder", "<tool_call><function=f><parameter=city>Pa", "", {{"f", ""}}},
      // llama3_json
      {"llama3_json", R"({"name": "f", "parameters": {"a": 1}})", "", {{"f", R"({"a": 1})"}}},
      {"llama3_json", R"(<|python_tag|>{"name": "f", "parameters": {"a": 1}})", "", {{"f", R"({"a": 1})"}}},
      {"llama3_json",
       R"({"type": "function", "name": "f", "parameters": {}}; {"name": "g", "parameters": {"b": 2}})",
       "",
       {{"f", "{}"}, {"g", R"({"b": 2})"}}},
      {"llama3_json", R"({"answer": 42})", R"({"answer": 42})", {}},
      {"llama3_json", "Hi {\"name\": 1}", "Hi {\"name\": 1}", {}},
      {"llama3_json", "{", "{", {}},
      {"llama3_json", "Done.<|eom_id|>", "Done.", {}},
      // pythonic
      {"pythonic", R"([f(a=1, b="x"), g()])", "", {{"f", R"({"a":1,"b":"x"})"}, {"g", "{}"}}},
      {"pythonic",
       R"([f(a=[1, 2.5, -3], b={'k': None}, c=True)])",
       "",
       {{"f", R"({"a":[1,2.5,-3],"b":{"k":null},"c":true})"}}},
      {"pythonic", R"([f(s="a]b)c\"")])", "", {{"f", R"({"s":"a]b)c\""})"}}},
      {"pythonic", "[1, 2, 3]", "[1, 2, 3]", {}},
      {"pythonic", "The list [f(x)] is", "The list [f(x)] is", {}},
      {"pythonic", "<|python_start|>[f()]<|python_end|>", "", {{"f", "{}"}}},
      {"pythonic", "[f(__import__('os'))]", "[f(__import__('os'))]", {}},
      // mistral
      {"mistral", R"([TOOL_CALLS]f[ARGS]{"a": 1})", "", {{"f", R"({"a": 1})"}}},
      {"mistral",
       R"(Ok.[TOOL_CALLS]f{"a": 1}[TOOL_CALLS]g[ARGS]{})",
       "Ok.",
       {{"f", R"({"a": 1})"}, {"g", "{}"}}},
      {"mistral",
       R"([TOOL_CALLS] [{"name": "f", "arguments": {"a": "]"}}, {"name": "g", "arguments": {}}])",
       "",
       {{"f", R"({"a": "]"})"}, {"g", "{}"}}},
      {"mistral", "[TOOL", "[TOOL", {}},
      // deepseek
      {"deepseek_v3",
       "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"a\": "
       "1}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       "",
       {{"f", R"({"a": 1})"}}},
      {"deepseek_v3",
       "Sure<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\": "
       "1}<｜tool▁call▁end｜><｜tool▁call▁begin｜>g<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       "Sure",
       {{"f", R"({"a": 1})"}, {"g", "{}"}}},
      {"deepseek_v3", "why</think>so", "so", {}, "why", true, true},
      // internlm2
      {"internlm2",
       R"(I look.<|action_start|><|plugin|>{"name": "f", "parameters": {"a": 1}}<|action_end|>)",
       "I look.",
       {{"f", R"({"a": 1})"}}},
      {"internlm2",
       "<|action_start|><|plugin|>\n" + kF + "\n<|action_end|>\nDone",
       "Done",
       {{"f", R"({"a": 1})"}}},
      // gpt_oss
      {"gpt_oss",
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.<|return|>",
       "Yes.",
       {},
       "Hm."},
      {"gpt_oss",
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.f "
       "<|constrain|>json<|message|>{\"a\": 1}<|call|>",
       "",
       {{"f", R"({"a": 1})"}},
       "Hm."},
      {"gpt_oss",
       "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant "
       "to=functions.f<|channel|>commentary json<|message|>{}<|call|>",
       "I will look.",
       {{"f", "{}"}}},
      {"gpt_oss", "<|channel|>final<|message|>a < b", "a < b", {}},
      // gemma
      {"gemma", "```tool_code\nf(a=1)\n```", "", {{"f", R"({"a":1})"}}},
      {"gemma",
       "Look:\n```tool_code\nf(a='x')\ng()\n```\nok",
       "Look:ok",
       {{"f", R"({"a":"x"})"}, {"g", "{}"}}},
      {"gemma", "```python\nf()\n```", "```python\nf()\n```", {}},
      // glm4
      {"glm4",
       "<tool_call>f\n<arg_key>city</arg_key>\n<arg_value>Rome</arg_value>\n<arg_key>n</"
       "arg_key>\n<arg_value>2</arg_value>\n</tool_call>",
       "",
       {{"f", R"({"city": "Rome", "n": 2})"}}},
      {"glm4", "<tool_call>f</tool_call>", "", {{"f", "{}"}}},
      {"glm4",
       "Hm <tool_call>f<arg_key>zip</arg_key><arg_value>007</arg_value></tool_call> x",
       "Hmx",
       {{"f", R"({"zip": "007"})"}}},
      {"glm4", "<think>a</think>\nb", "b", {}, "a", true},
  };
}

TEST(AnswerParser, CutAnywhereItSaysTheSame) {
  auto all = cases();
  EXPECT_GE(all.size(), 60u);
  for (const Case& c : all) {
    std::string where = std::string(c.format) + ": " + c.text;
    check(c, {c.text}, where + " whole");
    for (size_t cut = 0; cut <= c.text.size(); ++cut)
      check(c, {c.text.substr(0, cut), c.text.substr(cut)}, where + " cut at " + std::to_string(cut));
    for (size_t size : {size_t{1}, size_t{3}, size_t{7}}) {
      std::vector<std::string> pieces;
      for (size_t begin = 0; begin < c.text.size(); begin += size)
        pieces.push_back(c.text.substr(begin, size));
      check(c, pieces, where + " in pieces of " + std::to_string(size));
    }
    if (HasFailure()) return;
  }
}

// Arguments come while they are written, and a name comes whole.
TEST(AnswerParser, StreamsArguments) {
  Case c{"hermes", "<tool_call>" + kF + "</tool_call>", "", {}};
  AnswerParser parser(options_of(c));
  size_t pieces = 0;
  for (char byte : c.text)
    for (const AnswerPart& part : parser.add(std::string_view(&byte, 1))) {
      if (part.kind == AnswerPart::Kind::kCall) {
        EXPECT_EQ(part.text, "f");
      }
      if (part.kind == AnswerPart::Kind::kArguments) ++pieces;
    }
  EXPECT_EQ(pieces, 8u);
}

// Twice the text takes about twice the time, whatever it repeats.
TEST(AnswerParser, IsLinear) {
  using Clock = std::chrono::steady_clock;
  for (const char* format : {"hermes", "qwen3_coder", "mistral", "deepseek_v3", "pythonic", "gemma", "glm4",
                             "gpt_oss", "llama3_json", "internlm2"})
    for (const std::string& unit :
         {std::string("<tool_call>"), std::string("<tool_call>{\""), std::string("<"), std::string(" "),
          std::string("[f("), std::string("<think>"), std::string("<|channel|>"), std::string("[TOOL_CALLS]"),
          std::string("```tool_code"), std::string("<function=a><parameter=b>"),
          std::string("{\"name\": \"")}) {
      std::string text;
      while (text.size() < 300'000) text += unit;
      AnswerParser::Options options;
      options.format = find_tool_format(format);
      options.thinks = true;
      auto begin = Clock::now();
      AnswerParser parser(options);
      parser.add(text);
      parser.finish();
      EXPECT_LT(std::chrono::duration<double>(Clock::now() - begin).count(), 3) << format << " " << unit;
    }
}

}  // namespace
}  // namespace turgo
