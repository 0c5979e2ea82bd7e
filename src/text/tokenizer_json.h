// Reads Hugging Face's tokenizer.json: BPE (byte-level, or over characters with byte fallback) and Unigram,
// with the normalisers, pre-tokenizers, decoders and post-processors that published language models use. What
// it does not know it refuses by name: a step left out would give silently different ids.
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer_spec.h"

namespace turgo {

// Throws Error{kNotFound, kIo, kCorrupt, kUnsupported}. bos_id/eos_id stay -1: they are in
// tokenizer_config.json (tokenizer_folder.h), except where a template post-processor puts a token in front
// (bos_id, add_bos) or behind.
TokenizerSpec read_tokenizer_json(const std::string& path);
TokenizerSpec parse_tokenizer_json(std::string_view text, const std::string& name);

}  // namespace turgo
