#include "serve/grammar/vocabulary.h"

#include <algorithm>

namespace turgo {

GrammarVocabulary grammar_vocabulary(Pipeline& pipeline) {
  const Tokenizer& tokenizer = pipeline.tokenizer();
  GrammarVocabulary out;
  out.pieces.resize(static_cast<size_t>(pipeline.vocab_size()));
  for (int32_t id = 0; id < std::min(pipeline.vocab_size(), tokenizer.vocab_size()); ++id)
    if (!tokenizer.is_special(id)) out.pieces[static_cast<size_t>(id)] = tokenizer.piece(id, false);
  out.stop_ids = pipeline.engine().model_config().eos_token_ids;
  return out;
}

}  // namespace turgo
