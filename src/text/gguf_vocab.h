// The tokenizer part of a GGUF file as plain values, and what it means. io/ fills the struct from the keys
// tokenizer.ggml.*; nothing here knows the container.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer_spec.h"

namespace turgo {

struct GgufVocab {
  std::string name = "GGUF";                     // the file, for error messages
  std::string model;                             // tokenizer.ggml.model: "gpt2", "llama", "t5"
  std::string pre = "default";                   // tokenizer.ggml.pre: "smollm", "llama-bpe", "qwen2" …
  std::vector<std::string> tokens;               // tokenizer.ggml.tokens
  std::vector<float> scores;                     // tokenizer.ggml.scores: none, or one per token
  std::vector<int32_t> token_types;              // tokenizer.ggml.token_type: none, or one per token
  std::vector<std::string> merges;               // tokenizer.ggml.merges: "left right"
  int32_t bos_id = -1, eos_id = -1;              // tokenizer.ggml.{bos,eos}_token_id; -1 if absent
  int32_t unk_id = -1, pad_id = -1;              // tokenizer.ggml.{unknown,padding}_token_id
  std::optional<bool> add_bos;                   // tokenizer.ggml.add_bos_token; absent: the model's default
  std::optional<bool> add_eos;                   // tokenizer.ggml.add_eos_token
  std::optional<bool> add_space_prefix;          // tokenizer.ggml.add_space_prefix
  std::optional<bool> remove_extra_whitespaces;  // tokenizer.ggml.remove_extra_whitespaces
  std::string precompiled_charsmap;              // tokenizer.ggml.precompiled_charsmap: bytes; "" if absent
};

// Throws Error{kCorrupt, kUnsupported}. The result still goes through Tokenizer::create, which validates it.
TokenizerSpec tokenizer_spec_from_gguf(GgufVocab vocab);

}  // namespace turgo
