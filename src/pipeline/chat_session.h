// A conversation with state: messages here, tokens and KV in the engine's session of the same id. Each turn
// renders the whole conversation and computes only what the session does not hold yet.
#pragma once

#include <string>
#include <vector>

#include "pipeline/pipeline.h"

namespace turgo {

class ChatSession {
 public:
  ChatSession(Pipeline& pipeline, std::string id, const std::string& system = "");
  ~ChatSession();
  ChatSession(const ChatSession&) = delete;
  ChatSession& operator=(const ChatSession&) = delete;

  // Asks; the question stays in the conversation unless this throws. The answer enters it with keep_answer(),
  // whole or as far as it came.
  TextStream ask(const std::string& text, const GenerationConfig& config);
  void keep_answer(const std::string& text);

  // Asks the last question again and forgets its answer. Throws Error{kInvalidArgument} if there was none.
  TextStream regenerate(const GenerationConfig& config);

  void set_system(const std::string& text);  // from the next turn on; "" = none
  void clear();                              // forgets everything but the system prompt

  const std::vector<Message>& messages() const { return messages_; }

 private:
  TextStream submit(const GenerationConfig& config);

  Pipeline& pipeline_;
  SessionRef session_;
  std::vector<Message> messages_;
};

}  // namespace turgo
