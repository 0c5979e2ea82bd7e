#include "text/detokenizer.h"

#include "text/utf8.h"

namespace turgo {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, bool skip_special, bool at_start)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special), at_start_(at_start) {}

std::string Detokenizer::add(int32_t id) {
  return add(std::span<const int32_t>(&id, 1));
}

std::string Detokenizer::add(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    std::string bytes = tokenizer_->piece(id, skip_special_);
    if (bytes.empty()) continue;
    if (at_start_ && tokenizer_->strip_leading_space() && bytes.front() == ' ') bytes.erase(0, 1);
    at_start_ = false;
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
