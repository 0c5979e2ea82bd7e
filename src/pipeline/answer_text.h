// The tokens of one answer become text: detokenizer, then stop strings. Installed on the request as its
// TokenObserver, it runs on the engine's thread, so that a stop string ends the request with the token that
// completes it; the consumer takes the text of each token from the other end.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/request.h"
#include "pipeline/stop_matcher.h"
#include "text/detokenizer.h"

namespace turgo {

// What an AnswerText is made of beside the tokenizer: an engine in another process makes its own.
struct AnswerRules {
  std::vector<std::string> stop;  // strings that end the answer
  bool include_stop = false;
  bool skip_special_tokens = true;
  bool at_start = true;        // the answer is a text of its own, not the continuation of one
  int32_t min_new_tokens = 0;  // stop strings count from this token on
};

class AnswerText : public TokenObserver {
 public:
  AnswerText(std::shared_ptr<const Tokenizer> tokenizer, AnswerRules rules);

  const AnswerRules& rules() const { return rules_; }

  Verdict on_token(const OutputToken& token) override;

  std::string take(size_t num_tokens);  // text that the next tokens added; tokens not seen yet add nothing
  std::string finish();                 // the answer has ended: all that is left

 private:
  std::mutex mutex_;
  AnswerRules rules_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  int32_t num_tokens_ = 0;
  std::deque<std::string> pieces_;  // one per token that nobody took yet
};

}  // namespace turgo
