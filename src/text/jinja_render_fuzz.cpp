// Any template over a fixed conversation, under small limits: it renders or an Error says why not, and the
// input ranges that come back are sorted, disjoint, not touching and inside the text.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "core/json.h"
#include "text/jinja/from_json.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace {

const turgo::Json& variables() {
  static const turgo::Json json = turgo::Json::parse(R"({
    "messages": [{"role": "system", "content": "s \u00e9"}, {"role": "user", "content": "a <|im_end|> b\n"},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"x": [1, 2.5]}}}]},
                 {"role": "tool", "content": [{"type": "text", "text": "t"}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"b": {"type": "number"}, "a": {}}}}}],
    "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>", "n": 3, "x": -1.5, "s": "Hello World"})");
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  turgo::jinja::Limits limits;
  limits.max_steps = 200'000;
  limits.max_string_bytes = 1 << 18;
  limits.max_live_bytes = 1 << 24;
  try {
    turgo::jinja::Template tree =
        turgo::jinja::parse_template({reinterpret_cast<const char*>(data), size}, limits);
    turgo::jinja::Interpreter interpreter(tree, limits);
    for (const auto& [name, value] : variables().items()) {
      interpreter.set_variable(name, turgo::jinja::from_json(interpreter, value, true));
    }
    turgo::MarkedText out = interpreter.render();
    size_t end = 0;
    for (const auto& range : out.input) {
      CHECK(range.begin < range.end && range.end <= out.text.size(), "{} {}", range.begin, range.end);
      CHECK(range.begin > end || end == 0, "ranges touch at {}", end);
      end = range.end;
    }
  } catch (const turgo::Error&) {
    return 0;  // refused: what a hostile input should get
  }
  return 0;
}
