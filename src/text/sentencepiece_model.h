// Reads SentencePiece's tokenizer.model: a small protobuf (sentencepiece_model.proto: pieces 1, trainer_spec
// 2, normalizer_spec 3). Own wire reader; unknown fields are skipped, every length is checked against what is
// left.
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer_spec.h"

namespace turgo {

// Throws Error{kNotFound, kIo, kCorrupt, kUnsupported}. BPE and Unigram; BOS is wanted if the file has one
// and is BPE (tokenizer_folder.h reads what else a Hugging Face folder says).
TokenizerSpec read_sentencepiece_model(const std::string& path);
TokenizerSpec parse_sentencepiece_model(std::string_view bytes, const std::string& name);

}  // namespace turgo
