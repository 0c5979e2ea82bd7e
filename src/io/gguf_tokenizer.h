// The tokenizer part of a GGUF file: keys tokenizer.ggml.* -> text/gguf_vocab.h.
#pragma once

#include "io/model_file.h"
#include "text/gguf_vocab.h"

namespace turgo {

// True if the metadata holds a vocabulary (tokenizer.ggml.model).
bool has_gguf_vocab(const ModelFile& model);

// Throws Error{kCorrupt} for missing or empty tokens, scores or token types that are not one per token, and
// ids that are no 31-bit integers. Whether ids lie in the vocabulary is checked by Tokenizer::create.
GgufVocab read_gguf_vocab(const ModelFile& model);

}  // namespace turgo
