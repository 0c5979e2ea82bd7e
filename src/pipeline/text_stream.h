// An answer as it comes: text deltas with the tokens they came from, and at the end the reason and
// statistics.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "pipeline/answer_text.h"

namespace turgo {

struct TextEvent {
  std::string text;  // valid UTF-8; all deltas together are the answer
  std::vector<OutputToken> tokens;
  FinishReason finish = FinishReason::kNone;
  std::string error;     // with FinishReason::kError
  bool is_away = false;  // and the engine's process was lost (StreamEvent)
  RequestStats stats;
};

// A whole answer.
struct Answer {
  std::string text;
  std::vector<OutputToken> tokens;
  FinishReason finish = FinishReason::kNone;
  RequestStats stats;
  int32_t num_input_tokens = 0;  // the whole prompt, also what the session knew already
};

const char* finish_reason_name(FinishReason reason);  // "stop", "length", "cancelled", "error", "timeout"

class TextStream {
 public:
  // `text` is null for a model without tokenizer: then only tokens come.
  TextStream(std::unique_ptr<Stream> stream, std::shared_ptr<AnswerText> text, int32_t num_input_tokens);

  // Blocks for the next event; after one with finish != kNone there are no more. Empty optional on time-out.
  std::optional<TextEvent> next(std::optional<std::chrono::milliseconds> timeout = std::nullopt);
  void cancel() { stream_->cancel(); }
  // As Stream::set_listener: for a consumer that does not block.
  void set_listener(std::function<void()> listener) { stream_->set_listener(std::move(listener)); }

  // Reads to the end. Throws Error{kResourceExhausted} if the request failed half-way.
  Answer collect();

  int32_t num_input_tokens() const { return num_input_tokens_; }

 private:
  std::unique_ptr<Stream> stream_;
  std::shared_ptr<AnswerText> text_;
  int32_t num_input_tokens_;
};

}  // namespace turgo
