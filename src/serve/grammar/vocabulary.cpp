#include "serve/grammar/vocabulary.h"

#include <algorithm>

#include "serve/tools/tool_format.h"

namespace turgo {

GrammarVocabulary grammar_vocabulary(Pipeline& pipeline) {
  const Tokenizer& tokenizer = pipeline.tokenizer();
  GrammarVocabulary out;
  out.pieces.resize(static_cast<size_t>(pipeline.vocab_size()));
  for (int32_t id = 0; id < std::min(pipeline.vocab_size(), tokenizer.vocab_size()); ++id) {
    std::string piece = tokenizer.piece(id, false);
    if (tokenizer.is_special(id)) piece = is_tool_marker(piece) ? std::string(1, '\xff').append(piece) : "";
    out.pieces[static_cast<size_t>(id)] = std::move(piece);
  }
  out.stop_ids = pipeline.engine().model_config().eos_token_ids;
  return out;
}

}  // namespace turgo
