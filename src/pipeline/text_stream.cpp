#include "pipeline/text_stream.h"

#include "core/error.h"

namespace turgo {

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
    case FinishReason::kTimeout:
      return "timeout";
    case FinishReason::kNone:
      break;
  }
  return "none";
}

TextStream::TextStream(std::unique_ptr<Stream> stream, std::shared_ptr<AnswerText> text,
                       int32_t num_input_tokens)
    : stream_(std::move(stream)), text_(std::move(text)), num_input_tokens_(num_input_tokens) {}

std::optional<TextEvent> TextStream::next(std::optional<std::chrono::milliseconds> timeout) {
  std::optional<StreamEvent> event = stream_->next(timeout);
  if (!event) return std::nullopt;
  TextEvent out;
  if (text_) out.text = text_->take(event->tokens.size());
  if (text_ && event->finish != FinishReason::kNone) out.text += text_->finish();
  out.tokens = std::move(event->tokens);
  out.finish = event->finish;
  out.error = std::move(event->error);
  out.is_away = event->is_away;
  out.stats = event->stats;
  return out;
}

Answer TextStream::collect() {
  Answer answer;
  answer.num_input_tokens = num_input_tokens_;
  while (auto event = next()) {
    answer.text += event->text;
    for (OutputToken& token : event->tokens) answer.tokens.push_back(std::move(token));
    answer.finish = event->finish;
    answer.stats = event->stats;
    if (event->finish == FinishReason::kError) fail(ErrorCode::kResourceExhausted, "{}", event->error);
    if (event->finish != FinishReason::kNone) break;
  }
  return answer;
}

}  // namespace turgo
