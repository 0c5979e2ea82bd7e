#include "serve/tools/tool_request.h"

#include <algorithm>

#include "serve/generation.h"
#include "serve/grammar/response_format.h"
#include "serve/tools/call_grammar.h"

namespace turgo {
namespace {

constexpr size_t kMaxTools = 256, kMaxName = 128;

bool is_function_name(const std::string& name) {
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

struct ReadFunction {
  std::string name, description;
  bool is_strict = false;
  const Json* parameters = nullptr;
};

ReadFunction read_function(Fields& f) {
  ReadFunction r;
  f.need("name", "the function's name", [] {
    return Json{{"type", "string"}, {"pattern", fmt::format("^[A-Za-z0-9_.-]{{1,{}}}$", kMaxName)}};
  });
  f.text("name", r.name);
  f.text("description", r.description);
  f.flag("strict", r.is_strict);
  r.parameters = f.take("parameters", [] { return Json{{"type", "object"}}; });
  f.finish();
  return r;
}

const Json* read_tool_fields(Fields& t) {
  std::string type;
  t.choice("type", type, {"function"});
  const Json* function = t.need("function", "its name, description and parameters",
                                [] { return Fields::schema_of(read_function); });
  t.finish();
  return function;
}

Json tools_schema() {
  return {{"type", "array"}, {"maxItems", kMaxTools}, {"items", Fields::schema_of(read_tool_fields)}};
}

Json read_tool(const Json& one, const std::string& where) {
  Fields t(one, where + ".");
  Fields f(*read_tool_fields(t), where + ".function.");
  auto [name, description, is_strict, parameters] = read_function(f);
  if (!is_function_name(name))
    bad_field(where + ".function.name", "expected 1 to {} letters, digits, '_', '-' and '.', got {}",
              kMaxName, quote(name, 40));
  if (parameters && !parameters->is_object())
    bad_field(where + ".function.parameters", "expected a JSON schema, got {}", shown(*parameters));
  Json out = {{"name", name}, {"description", description}};
  out["parameters"] = parameters ? *parameters : Json({{"type", "object"}, {"properties", Json::object()}});
  if (is_strict) out["strict"] = true;
  return {{"type", "function"}, {"function", std::move(out)}};
}

const Json* read_named_choice(Fields& c) {
  std::string type;
  c.need("type", "function");
  c.choice("type", type, {"function"});
  const Json* function = c.need("function", "{\"name\": …}", [] {
    return Fields::schema_of([](Fields& f) {
      std::string name;
      f.need("name", "a function's name");
      f.text("name", name);
    });
  });
  c.finish();
  return function;
}

Json choice_schema() {
  Json words = {{"enum", {"none", "auto", "required", "any"}}};
  return {{"anyOf", Json::array({std::move(words), Fields::schema_of(read_named_choice)})}};
}

void read_choice(const Json& value, ToolRequest& r) {
  using Choice = ToolRequest::Choice;
  if (value.is_string()) {
    std::string word = value.get<std::string>();
    if (word == "none")
      r.choice = Choice::kNone;
    else if (word == "required" || word == "any")
      r.choice = Choice::kRequired;
    else if (word != "auto")
      bad_field("tool_choice", "expected none, auto, required or a function, got {}", quote(word, 80));
    return;
  }
  Fields c(value, "tool_choice.");
  Fields f(*read_named_choice(c), "tool_choice.function.");
  f.text("name", r.named);
  f.finish();
  r.choice = Choice::kNamed;
  bool is_known = std::any_of(r.tools.begin(), r.tools.end(),
                              [&](const Json& tool) { return tool["function"]["name"] == r.named; });
  if (!is_known) bad_field("tool_choice", "{} is none of the tools", quote(r.named, 80));
}

}  // namespace

ToolRequest take_tools(Fields& fields) {
  ToolRequest r;
  if (const Json* tools = fields.take("tools", tools_schema)) {
    if (!tools->is_array() || tools->size() > kMaxTools)
      bad_field("tools", "expected a list of at most {} tools, got {}", kMaxTools, shown(*tools));
    for (size_t i = 0; i < tools->size(); ++i)
      r.tools.push_back(read_tool((*tools)[i], fmt::format("tools[{}]", i)));
  }
  if (!r.tools.empty()) r.choice = ToolRequest::Choice::kAuto;
  fields.flag("parallel_tool_calls", r.is_parallel);
  if (const Json* choice = fields.take("tool_choice", choice_schema)) {
    if (r.tools.empty() && *choice != "none" && *choice != "auto") bad_field("tool_choice", "needs tools");
    if (!r.tools.empty()) read_choice(*choice, r);
  }
  return r;
}

std::string parameter_type(const void* tools, const std::string& function, const std::string& parameter) {
  for (const Json& tool : *static_cast<const Json*>(tools)) {
    if (tool["function"]["name"] != function) continue;
    const Json& schema = tool["function"]["parameters"];
    if (!schema.contains("properties") || !schema["properties"].is_object() ||
        !schema["properties"].contains(parameter))
      return "";
    const Json& property = schema["properties"][parameter];
    if (!property.is_object() || !property.contains("type") || !property["type"].is_string()) return "";
    return property["type"].get<std::string>();
  }
  return "";
}

bool template_knows_tools(std::string_view chat_template) {
  return chat_template.find("tools") != chat_template.npos;
}

Json tell_about_tools(const Json& messages, const ToolRequest& request) {
  std::string text;
  if (request.is_active()) {
    text =
        "You can call functions to help with the user's question. The functions, as JSON schemas within "
        "<tools></tools>:\n<tools>\n";
    for (const Json& tool : request.tools) text += dump_json(tool) + "\n";
    text +=
        "</tools>\nFor each call write a JSON object with the function's name and arguments within "
        "<tool_call></tool_call>:\n<tool_call>\n{\"name\": <name>, \"arguments\": <arguments object>}\n"
        "</tool_call>";
  }
  Json out = Json::array();
  for (const Json& message : messages) {
    std::string role = message["role"], content = message["content"];
    if (role == "tool") {
      role = "user";
      content = "<tool_response>\n" + content + "\n</tool_response>";
    }
    if (message.contains("tool_calls"))
      for (const Json& call : message["tool_calls"])
        content +=
            (content.empty() ? "<tool_call>\n" : "\n<tool_call>\n") +
            dump_json({{"name", call["function"]["name"]}, {"arguments", call["function"]["arguments"]}}) +
            "\n</tool_call>";
    if (role == "system" && !text.empty())
      content += (content.empty() ? "" : "\n\n") + std::exchange(text, "");
    out.push_back({{"role", role}, {"content", content}});
  }
  if (!text.empty()) out.insert(out.begin(), Json::object({{"role", "system"}, {"content", text}}));
  return out;
}

std::shared_ptr<const TokenGrammar> compile_tools(Grammars& compiler, const ToolRequest& request,
                                                  const ToolFormat& format, const Tokenizer& tokenizer) {
  try {
    return compile_grammar(compiler, {"tools", call_grammar(request, format, tokenizer, false)});
  } catch (const ApiError&) {
    bool any_strict = std::any_of(request.tools.begin(), request.tools.end(),
                                  [](const Json& tool) { return tool["function"].contains("strict"); });
    if (any_strict) throw;
  }
  try {
    return compile_grammar(compiler, {"tools", call_grammar(request, format, tokenizer, true)});
  } catch (const ApiError&) {
    if (request.must_call()) throw;  // a build without XGrammar, say: it can not be promised
    return nullptr;
  }
}

}  // namespace turgo
