#include "serve/tools/tool_format.h"

#include <algorithm>

namespace turgo {
namespace {

using Body = ToolFormat::Body;

const std::vector<ToolFormat>& formats() {
  static const std::vector<ToolFormat> all = {
      {"hermes",
       Body::kJson,
       {"<tool_call>"},
       "</tool_call>",
       "",
       false,
       {"</tool_call>"},
       {{"<tool_call>\n{\"name\": \"$NAME\", \"arguments\": ", "json", "}\n</tool_call>"}}},
      {"qwen3_coder",
       Body::kXml,
       {"<tool_call>", "<function="},
       "</tool_call>",
       "",
       false,
       {"</tool_call>", "</function>"},
       {{"<tool_call>\n<function=$NAME>\n", "qwen_xml", "\n</function>\n</tool_call>"}}},
      {"llama3_json", Body::kJson, {"<|python_tag|>"}, "", "", true, {"<|eom_id|>", "<|eot_id|>"}},
      {"pythonic",
       Body::kPythonic,
       {"<|python_start|>", "<|python_tag|>"},
       "<|python_end|>",
       "",
       true,
       {"<|python_end|>", "<|eom_id|>"}},
      {"mistral",
       Body::kNameJson,
       {"[TOOL_CALLS]"},
       "",
       "[ARGS]",
       false,
       {"[CALL_ID]"},
       {{"[TOOL_CALLS]$NAME[ARGS]", "json", ""},
        {"{\"name\": \"$NAME\", \"arguments\": ", "json", "}", "[TOOL_CALLS][", ", ", "]"},
        {"{\"name\": \"$NAME\", \"arguments\": ", "json", "}", "[TOOL_CALLS] [", ", ", "]"}}},
      {"deepseek_v3",
       Body::kNameJson,
       {"<｜tool▁call▁begin｜>function<｜tool▁sep｜>", "<｜tool▁call▁begin｜>"},
       "<｜tool▁call▁end｜>",
       "<｜tool▁sep｜>",
       false,
       {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁end｜>"},
       {{"<｜tool▁call▁begin｜>function<｜tool▁sep｜>$NAME\n```json\n", "json", "\n```<｜tool▁call▁end｜>"},
        {"<｜tool▁call▁begin｜>$NAME<｜tool▁sep｜>", "json", "<｜tool▁call▁end｜>"}}},
      {"internlm2",
       Body::kJson,
       {"<|action_start|><|plugin|>", "<|action_start|>"},
       "<|action_end|>",
       "",
       false,
       {"<|plugin|>", "<|interpreter|>", "<|action_end|>"},
       {{"<|action_start|><|plugin|>\n{\"name\": \"$NAME\", \"parameters\": ", "json", "}<|action_end|>"},
        {"<|action_start|><|plugin|>{\"name\": \"$NAME\", \"parameters\": ", "json", "}<|action_end|>"}}},
      {"gpt_oss", Body::kHarmony, {}, "", "", false, {}},
      {"gemma", Body::kPythonic, {"```tool_code"}, "```", "", false, {}},
      {"glm4",
       Body::kGlm,
       {"<tool_call>"},
       "</tool_call>",
       "",
       false,
       {"</tool_call>"},
       {{"<tool_call>$NAME\n", "glm_xml", "\n</tool_call>"}}},
  };
  return all;
}

}  // namespace

const ToolFormat* find_tool_format(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kAliases[] = {
      {"qwen", "hermes"},
      {"qwen2d5", "hermes"},
      {"qwen3", "hermes"},
      {"qwen3_xml", "qwen3_coder"},
      {"qwen3coder", "qwen3_coder"},
      {"llama3", "llama3_json"},
      {"llama4_json", "llama3_json"},
      {"llama4_pythonic", "pythonic"},
      {"deepseek", "deepseek_v3"},
      {"deepseek_v31", "deepseek_v3"},
      {"internlm", "internlm2"},
      {"openai", "gpt_oss"},
      {"gpt-oss", "gpt_oss"},
      {"gemma3", "gemma"},
      {"glm", "glm4"},
      {"glm45", "glm4"},
      {"glm47", "glm4"}};
  for (const auto& [alias, target] : kAliases)
    if (name == alias) name = target;
  for (const ToolFormat& format : formats())
    if (format.name == name) return &format;
  return nullptr;
}

bool is_tool_marker(std::string_view text) {
  return std::any_of(formats().begin(), formats().end(), [&](const ToolFormat& format) {
    auto has = [&](const std::vector<std::string>& list) {
      return std::find(list.begin(), list.end(), text) != list.end();
    };
    return !text.empty() &&
           (has(format.begins) || has(format.dropped) || has({format.end, format.separator}));
  });
}

std::vector<std::string> list_tool_formats() {
  std::vector<std::string> names;
  for (const ToolFormat& format : formats()) names.push_back(format.name);
  return names;
}

const ToolFormat* detect_tool_format(std::string_view source) {
  auto has = [&](std::string_view text) { return source.find(text) != source.npos; };
  if (has("<|channel|>")) return find_tool_format("gpt_oss");
  if (has("<arg_key>")) return find_tool_format("glm4");
  if (has("<function=") && has("<parameter=")) return find_tool_format("qwen3_coder");
  if (has("<tool_call>")) return find_tool_format("hermes");
  if (has("[TOOL_CALLS]")) return find_tool_format("mistral");
  if (has("<｜tool▁call▁begin｜>")) return find_tool_format("deepseek_v3");
  if (has("<|action_start|>") || has("<|plugin|>")) return find_tool_format("internlm2");
  if (has("<|python_start|>") || has("func_name1(")) return find_tool_format("pythonic");
  if (has("<|python_tag|>") || (has("<|start_header_id|>") && has("\"parameters\"")))
    return find_tool_format("llama3_json");
  if (has("tool_code")) return find_tool_format("gemma");
  return nullptr;
}

bool detect_thinking(std::string_view source) {
  return source.find("</think>") != source.npos || source.find("<think>") != source.npos;
}

}  // namespace turgo
