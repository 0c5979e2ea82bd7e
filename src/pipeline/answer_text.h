// The tokens of one answer become text: detokenizer, then stop strings. Installed on the request as its
// TokenObserver, it runs on the engine's thread, so that a stop string ends the request with the token that
// completes it; the consumer takes the text of each token from the other end.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "engine/request.h"
#include "pipeline/stop_matcher.h"
#include "text/detokenizer.h"

namespace turgo {

class AnswerText : public TokenObserver {
 public:
  // Stop strings count from token number min_new_tokens on.
  AnswerText(Detokenizer detokenizer, StopMatcher matcher, int32_t min_new_tokens);

  Verdict on_token(const OutputToken& token) override;

  std::string take(size_t num_tokens);  // text that the next tokens added; tokens not seen yet add nothing
  std::string finish();                 // the answer has ended: all that is left

 private:
  std::mutex mutex_;
  Detokenizer detokenizer_;
  StopMatcher matcher_;
  int32_t min_new_tokens_, num_tokens_ = 0;
  std::deque<std::string> pieces_;  // one per token that nobody took yet
};

}  // namespace turgo
