#include "text/detokenizer.h"

#include <algorithm>

#include "text/utf8.h"

namespace turgo {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special, bool at_start)
    : tokenizer_(std::move(tokenizer)),
      skip_special_(skip_special),
      strippable_(at_start ? tokenizer_->max_stripped_spaces() : 0) {}

std::string Detokenizer::add(int32_t id) {
  return add(std::span<const int32_t>(&id, 1));
}

std::string Detokenizer::add(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    std::string bytes = tokenizer_->piece(id, skip_special_);
    if (strippable_ > 0) {
      const size_t spaces = std::min(bytes.find_first_not_of(' '), bytes.size());
      const size_t stripped = std::min(spaces, strippable_);
      strippable_ = spaces < bytes.size() ? 0 : strippable_ - stripped;
      bytes.erase(0, stripped);
    }
    pending_ += bytes;
  }
  const size_t tail = incomplete_utf8_tail(pending_);
  std::string rest = pending_.substr(pending_.size() - tail);
  pending_.resize(pending_.size() - tail);
  std::string out = take();
  pending_ = std::move(rest);
  return out;
}

std::string Detokenizer::flush() {
  return take();
}

std::string Detokenizer::take() {
  std::string out = is_valid_utf8(pending_) ? pending_ : repair_utf8(pending_);
  pending_.clear();
  return out;
}

}  // namespace turgo
