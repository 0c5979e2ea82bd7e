// Strings <-> token ids. A Tokenizer is immutable after construction and safe to share between threads;
// encoding is linear in its input. It is built from a TokenizerSpec, which readers fill from tokenizer.json
// (Hugging Face), tokenizer.model (SentencePiece) or GGUF metadata.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/marked_text.h"

namespace turgo {

struct TokenizerSpec;  // text/tokenizer_spec.h

class Tokenizer {
 public:
  // Throws Error{kCorrupt, kUnsupported}: ids out of range, merges of unknown pieces, an unknown
  // pre-tokenizer …
  static std::shared_ptr<const Tokenizer> create(TokenizerSpec spec);
  virtual ~Tokenizer() = default;

  // Plain text without BOS/EOS. Control tokens inside `text` are matched only if parse_special; added tokens
  // that are ordinary text to the model (runs of spaces …) always. Ill-formed UTF-8 counts as U+FFFD.
  // Error{kTooLong} over 1 GiB.
  virtual std::vector<int32_t> encode(std::string_view text, bool parse_special = false) const = 0;
  // As encode(text, true), but no control token is matched where it overlaps an input byte.
  virtual std::vector<int32_t> encode(const MarkedText& text) const = 0;

  // The exact bytes of the ids, which may be invalid UTF-8 if a character was cut; unknown ids give nothing.
  // Special tokens (control) are left out if skip_special.
  virtual std::string decode(std::span<const int32_t> ids, bool skip_special = true) const = 0;
  // The bytes that one id contributes in the middle of a text.
  virtual std::string piece(int32_t id, bool skip_special = true) const = 0;

  virtual int32_t vocab_size() const = 0;  // largest id + 1
  virtual int32_t token_to_id(
      std::string_view token) const = 0;                  // exact vocabulary entry; -1 if there is none
  virtual std::string id_to_token(int32_t id) const = 0;  // the vocabulary's own spelling; "" if out of range
  virtual bool is_special(int32_t id) const = 0;
  // decode() drops up to this many spaces in front of the text (SentencePiece: 1, or all); a detokenizer does
  // so too.
  virtual size_t max_stripped_spaces() const = 0;

  virtual int32_t bos_id() const = 0;  // -1 if the model has none
  virtual int32_t eos_id() const = 0;  // -1 if the model has none
  virtual bool add_bos() const = 0;    // the model wants BOS in front of a text
  virtual bool add_eos() const = 0;
};

}  // namespace turgo
