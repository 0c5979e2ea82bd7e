#include "pipeline/load_tokenizer.h"

#include "io/gguf_tokenizer.h"
#include "text/gguf_vocab.h"
#include "text/tokenizer_folder.h"

namespace turgo {

std::shared_ptr<const Tokenizer> load_tokenizer(const ModelFile& model) {
  if (model.kind() == ModelFile::Kind::kGguf) {
    if (!has_gguf_vocab(model)) return nullptr;
    return Tokenizer::create(tokenizer_spec_from_gguf(read_gguf_vocab(model)));
  }
  if (!has_tokenizer(model.folder())) return nullptr;
  return Tokenizer::create(read_tokenizer_folder(model.folder()));
}

}  // namespace turgo
