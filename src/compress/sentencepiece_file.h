// The vocabulary of a GGUF file as the tokenizer.model that it was made from: SentencePiece's ModelProto
// (sentencepiece_model.proto) with pieces, trainer and normaliser, as far as a reader needs them.
#pragma once

#include <string>

#include "text/gguf_vocab.h"

namespace turgo {

// For vocabularies of model "llama" (BPE) and "t5" (Unigram). The bytes of the file.
std::string sentencepiece_file(const GgufVocab& vocab);

}  // namespace turgo
