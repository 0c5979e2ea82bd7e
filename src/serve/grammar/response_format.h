// What a request says about the form of its answer, under the names of OpenAI (response_format), vLLM
// (structured_outputs, guided_…), LMDeploy (response_format of type regex_schema) and llama.cpp (json_schema,
// grammar).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "serve/fields.h"
#include "serve/grammar/token_grammar.h"

namespace turgo {

struct AskedGrammar {
  std::string field;  // the one that asked, for error messages
  GrammarSpec spec;
};

// At most one of the fields; ApiError 400 otherwise.
std::optional<AskedGrammar> take_grammar(Fields& fields);

// As Grammars::compile(), with its errors as ApiError 400 that name the field.
std::shared_ptr<const TokenGrammar> compile_grammar(Grammars& compiler, const AskedGrammar& asked);

// Throws ApiError 400 for a schema that is no object or bool, or refers to one elsewhere (never fetched).
void check_schema(const Json& schema, const std::string& field);

}  // namespace turgo
