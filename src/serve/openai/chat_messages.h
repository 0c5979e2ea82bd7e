// The messages of a chat request as templates expect them, and what comes back as a message.
#pragma once

#include "serve/fields.h"
#include "serve/generation.h"
#include "serve/tools/answer_parser.h"
#include "serve/tools/tool_request.h"

namespace turgo {

// [{"role", "content": text, "tool_calls"?: [{"id", "type", "function": {"name", "arguments": object}}],
// "tool_call_id"?, "name"?, "reasoning_content"?}]. Throws ApiError 400 naming the message.
Json read_messages(const Json& messages);
Json messages_schema();

// The deltas of OpenAI's stream for parts of an answer; calls get ids "call_…".
class ChatDeltas {
 public:
  explicit ChatDeltas(const AnswerParser::Options& options, bool is_parallel)
      : parser_(options), is_parallel_(is_parallel) {}
  std::vector<Json> add(std::string_view text) { return to_deltas(parser_.add(text)); }
  std::vector<Json> finish() { return to_deltas(parser_.finish()); }
  size_t num_calls() const { return parser_.num_calls(); }

 private:
  std::vector<Json> to_deltas(const std::vector<AnswerPart>& parts) const;
  AnswerParser parser_;
  bool is_parallel_;
};

// {"role": "assistant", "content", "reasoning_content"?, "tool_calls"?}
Json chat_message(const AnswerParser::Options& options, bool is_parallel, std::string_view text);

}  // namespace turgo
