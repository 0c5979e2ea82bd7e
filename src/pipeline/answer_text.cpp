#include "pipeline/answer_text.h"

#include <utility>

namespace turgo {

AnswerText::AnswerText(std::shared_ptr<const Tokenizer> tokenizer, AnswerRules rules)
    : rules_(std::move(rules)),
      detokenizer_(std::move(tokenizer), rules_.skip_special_tokens, rules_.at_start),
      matcher_(rules_.stop, rules_.include_stop) {}

TokenObserver::Verdict AnswerText::on_token(const OutputToken& token) {
  std::lock_guard lock(mutex_);
  std::string text = detokenizer_.add(token.token_id);
  ++num_tokens_;
  pieces_.push_back(num_tokens_ < rules_.min_new_tokens ? std::move(text) : matcher_.add(text));
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
