// The grammar of an answer with tool calls: free text until a call begins, then the form that the model's
// format gives a call, with arguments that fit the tool's schema. Markers may be text to the tokenizer or
// control tokens of it; what begins a call is what the grammar waits for, either way.
#pragma once

#include "serve/grammar/token_grammar.h"
#include "serve/tools/tool_format.h"
#include "serve/tools/tool_request.h"
#include "text/tokenizer.h"

namespace turgo {

// `any_objects`: arguments of tools that are not strict may be any JSON object. Throws ApiError 400 for a
// strict tool's schema that can not be enforced.
GrammarSpec call_grammar(const ToolRequest& request, const ToolFormat& format, const Tokenizer& tokenizer,
                         bool any_objects);

}  // namespace turgo
