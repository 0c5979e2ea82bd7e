// Ids in, text out, as they come. What comes out is always whole, valid UTF-8: the beginning of a character
// waits for its rest, bytes that can not become one are U+FFFD. All outputs together equal
// repair_utf8(tokenizer.decode(ids)).
#pragma once

#include <memory>
#include <span>
#include <string>

#include "text/tokenizer.h"

namespace turgo {

class Detokenizer {
 public:
  // `at_start`: the ids begin a text, so that SentencePiece's leading space is dropped, as decode() does.
  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special = true,
                       bool at_start = true);

  std::string add(int32_t id);
  std::string add(std::span<const int32_t> ids);
  std::string flush();  // what still waited; the next id begins a new character
  size_t num_pending_bytes() const { return pending_.size(); }  // 0…3

 private:
  std::string take();

  std::shared_ptr<const Tokenizer> tokenizer_;
  bool skip_special_;
  size_t strippable_;  // spaces that may still be dropped; 0 once the text has begun
  std::string pending_;
};

}  // namespace turgo
