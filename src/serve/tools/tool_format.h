// How a model writes tool calls and reasoning: markers and the form of what stands between them, as data. The
// forms are those that the models' own chat templates and cards show.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turgo {

struct ToolFormat {
  enum class Body : uint8_t {
    kNone,      // no calls
    kJson,      // {"name": …, "arguments"|"parameters": {…}}, one or several, also in a list
    kNameJson,  // NAME separator {…}
    kXml,       // <function=NAME><parameter=K>V</parameter></function>
    kGlm,       // NAME <arg_key>K</arg_key><arg_value>V</arg_value>
    kPythonic,  // [f(a=1), g(b="x")]
    kHarmony,   // channels of gpt-oss, which carry reasoning too
  };
  std::string name;
  Body body = Body::kNone;
  std::vector<std::string> begins;  // what opens a call; the longest that fits counts
  std::string end;                  // what closes it; "" = the body's own end
  std::string separator;            // kNameJson: behind the name
  bool at_start = false;            // a call also begins where the answer begins with '{' (kJson) or '[name('
  std::vector<std::string> dropped;  // further markers that never are content
  // How a grammar writes a call whose markers are text to the tokenizer: what stands in front of the
  // arguments ("$NAME" is the function), XGrammar's style of them and what stands behind. "" = it can not.
  std::string call_begin = {}, call_style = {}, call_end = {};
  bool can_hold() const { return !call_begin.empty(); }
};

// "hermes", "qwen3_coder", "llama3_json", "pythonic", "mistral", "deepseek_v3", "internlm2", "gpt_oss",
// "gemma", "glm4"; nullptr for other names.
const ToolFormat* find_tool_format(std::string_view name);
std::vector<std::string> list_tool_formats();

// The format that a chat template asks for; nullptr if it says nothing about tools.
const ToolFormat* detect_tool_format(std::string_view chat_template);

// Whether the template's model thinks between <think> and </think>.
bool detect_thinking(std::string_view chat_template);

}  // namespace turgo
