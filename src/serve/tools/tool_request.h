// The tools of a request: what the model may call, and whether it must. A template that knows nothing of
// tools is told about them in a system message, in Hermes' form
// (https://github.com/NousResearch/Hermes-Function-Calling).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serve/fields.h"
#include "serve/grammar/token_grammar.h"
#include "serve/tools/tool_format.h"
#include "text/tokenizer.h"

namespace turgo {

struct ToolRequest {
  enum class Choice : uint8_t { kNone, kAuto, kRequired, kNamed };
  Json tools =
      Json::array();  // [{"type": "function", "function": {"name", "description", "parameters", "strict"}}]
  Choice choice = Choice::kNone;
  std::string named;
  bool is_parallel = true;  // more than one call is passed on
  bool is_active() const { return choice != Choice::kNone; }
  bool must_call() const { return choice == Choice::kRequired || choice == Choice::kNamed; }
};

// "tools", "tool_choice", "parallel_tool_calls". At most 256 tools. Throws ApiError 400.
ToolRequest take_tools(Fields& fields);

// Type of a parameter as its tool's schema says it, "" if unknown. `tools`: the ToolRequest's Json.
std::string parameter_type(const void* tools, const std::string& function, const std::string& parameter);

bool template_knows_tools(std::string_view chat_template);

// For templates that do not: calls and results in `messages` become text, and the tools a system message.
Json tell_about_tools(const Json& messages, const ToolRequest& request);

// Holds calls in `format`, which can_hold(), to the tools' schemas; with required or named tools there is
// nothing but calls. Schemas that can not be enforced count as any object unless the tool is strict: then
// ApiError 400. nullptr: free text.
std::shared_ptr<const TokenGrammar> compile_tools(Grammars& compiler, const ToolRequest& request,
                                                  const ToolFormat& format, const Tokenizer& tokenizer);

}  // namespace turgo
