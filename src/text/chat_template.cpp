#include "text/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.h"
#include "text/jinja/from_json.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace turgo {

struct ChatTemplate::Tree {
  jinja::Limits limits;
  jinja::Template tree;
};

namespace {

constexpr std::string_view kRoles[] = {"system",   "user",    "assistant",   "tool",          "developer",
                                       "function", "ipython", "environment", "tool_response", "model",
                                       "human",    "gpt",     "tool_call"};

// Role words as the template's own text: templates such as '<|' + message.role + '|>' build control tokens
// from them.
void trust_roles(const jinja::Value& messages) {
  if (!messages.is(jinja::Kind::kList)) return;
  for (jinja::Value& message : messages.list().items) {
    if (!message.is(jinja::Kind::kDict)) continue;
    for (auto& [key, value] : message.dict().entries) {
      if (!value.is_string() || key.str->text != "role") continue;
      if (std::find(std::begin(kRoles), std::end(kRoles), value.str->text) != std::end(kRoles)) {
        value = jinja::Value::string(value.str->text);
      }
    }
  }
}

}  // namespace

ChatTemplate::ChatTemplate(std::string source, std::string bos_token, std::string eos_token,
                           std::vector<std::string> stop_words)
    : source_(std::move(source)),
      bos_token_(std::move(bos_token)),
      eos_token_(std::move(eos_token)),
      stop_words_(std::move(stop_words)) {
  jinja::Limits limits;
  tree_ = std::make_unique<Tree>(Tree{limits, jinja::parse_template(source_, limits)});
}

ChatTemplate::~ChatTemplate() = default;

std::shared_ptr<const ChatTemplate> ChatTemplate::parse(std::string source, std::string bos_token,
                                                        std::string eos_token,
                                                        std::vector<std::string> stop_words) {
  return std::shared_ptr<const ChatTemplate>(
      new ChatTemplate(std::move(source), std::move(bos_token), std::move(eos_token), std::move(stop_words)));
}

MarkedText ChatTemplate::render(const nlohmann::ordered_json& messages,
                                const ChatTemplateOptions& options) const {
  jinja::Interpreter interpreter(tree_->tree, tree_->limits);
  interpreter.now = options.now;
  if (options.kwargs && !options.kwargs->is_null()) {
    if (!options.kwargs->is_object()) {
      fail(ErrorCode::kInvalidArgument, "chat template arguments: expected a JSON object, got {}",
           options.kwargs->type_name());
    }
    for (const auto& [name, value] : options.kwargs->items()) {
      for (std::string_view own : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
        if (name == own) {
          fail(ErrorCode::kInvalidArgument,
               "chat template arguments: '{}' is set by the request itself; remove it", own);
        }
      }
      interpreter.set_variable(name, jinja::from_json(interpreter, value, true));
    }
  }
  jinja::Value list = jinja::from_json(interpreter, messages, true);
  trust_roles(list);
  interpreter.set_variable("messages", list);
  interpreter.set_variable(
      "tools", options.tools ? jinja::from_json(interpreter, *options.tools, true) : jinja::Value::none());
  interpreter.set_variable("add_generation_prompt", jinja::Value::boolean(options.add_generation_prompt));
  interpreter.set_variable("bos_token", jinja::Value::string(bos_token_));
  interpreter.set_variable("eos_token", jinja::Value::string(eos_token_));
  return interpreter.render();
}

}  // namespace turgo
