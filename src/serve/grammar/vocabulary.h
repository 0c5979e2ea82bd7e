// What a grammar has to know of a model's tokens.
#pragma once

#include "pipeline/pipeline.h"
#include "serve/grammar/token_grammar.h"

namespace turgo {

// Throws Error{kUnsupported} if the model has no tokenizer.
GrammarVocabulary grammar_vocabulary(Pipeline& pipeline);

}  // namespace turgo
