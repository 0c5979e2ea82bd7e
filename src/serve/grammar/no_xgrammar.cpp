// GrammarCompiler in a build without XGrammar.
#include "core/error.h"
#include "serve/grammar/token_grammar.h"

namespace turgo {

struct GrammarCompiler::State {};

GrammarCompiler::GrammarCompiler(std::function<GrammarVocabulary()>) {}
GrammarCompiler::~GrammarCompiler() = default;

std::shared_ptr<const TokenGrammar> GrammarCompiler::compile(const GrammarSpec&) {
  fail(ErrorCode::kUnsupported,
       "this build has no XGrammar and can not constrain answers; build it where PyPI can be reached");
}

}  // namespace turgo
