// How a model writes tool calls and reasoning: markers and the form of what stands between them, as data. The
// forms are those that the models' own chat templates and cards show.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace turgo {

// How a grammar writes calls; markers in it may be text or control tokens. A call is `begin` ("$NAME" is the
// function), arguments in XGrammar's `style`, `end`. Several may stand in one list: `open`, calls with
// `between` between them, `close`; an empty `between`: one call alone.
struct CallForm {
  std::string begin, style, end;
  std::string open = {}, between = {}, close = {};
};

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
  std::vector<CallForm> calls = {};  // a grammar allows each; empty: it can not write any
  bool can_hold() const { return !calls.empty(); }
};

// "hermes", "qwen3_coder", "llama3_json", "pythonic", "mistral", "deepseek_v3", "internlm2", "gpt_oss",
// "gemma", "glm4"; nullptr for other names.
const ToolFormat* find_tool_format(std::string_view name);
std::vector<std::string> list_tool_formats();

// Whether some format knows this text as a marker.
bool is_tool_marker(std::string_view text);

// The format that a chat template asks for; nullptr if it says nothing about tools.
const ToolFormat* detect_tool_format(std::string_view chat_template);

// Whether the template's model thinks between <think> and </think>.
bool detect_thinking(std::string_view chat_template);

}  // namespace turgo
