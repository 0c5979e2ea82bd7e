#include "pipeline/answer_text.h"

#include <utility>

namespace turgo {

AnswerText::AnswerText(Detokenizer detokenizer, StopMatcher matcher, int32_t min_new_tokens)
    : detokenizer_(std::move(detokenizer)), matcher_(std::move(matcher)), min_new_tokens_(min_new_tokens) {}

TokenObserver::Verdict AnswerText::on_token(const OutputToken& token) {
  std::lock_guard lock(mutex_);
  std::string text = detokenizer_.add(token.token_id);
  ++num_tokens_;
  pieces_.push_back(num_tokens_ < min_new_tokens_ ? std::move(text) : matcher_.add(text));
  return matcher_.stopped() ? Verdict::kStop : Verdict::kContinue;
}

std::string AnswerText::take(size_t num_tokens) {
  std::lock_guard lock(mutex_);
  std::string out;
  for (; num_tokens > 0 && !pieces_.empty(); --num_tokens) {
    out += pieces_.front();
    pieces_.pop_front();
  }
  return out;
}

std::string AnswerText::finish() {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const std::string& piece : std::exchange(pieces_, {})) out += piece;
  // A cut character at the very end is U+FFFD; it may not complete a stop string that was passed before.
  if (!matcher_.stopped()) out += matcher_.add(detokenizer_.flush()) + matcher_.flush();
  return out;
}

}  // namespace turgo
