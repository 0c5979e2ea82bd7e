#include "pipeline/chat_session.h"

#include "core/error.h"
#include "core/log.h"

namespace turgo {

ChatSession::ChatSession(Pipeline& pipeline, std::string id, const std::string& system)
    : pipeline_(pipeline), session_{std::move(id), ""} {
  set_system(system);
}

ChatSession::~ChatSession() {
  try {
    clear();
  } catch (const Error& error) {  // a session that still answers ends with the engine
    log_info("the session was not ended: {}", error.what());
  }
}

TextStream ChatSession::submit(const GenerationConfig& config) {
  return pipeline_.chat(messages_, config, session_);
}

TextStream ChatSession::ask(const std::string& text, const GenerationConfig& config) {
  messages_.push_back(Message::from_text("user", text));
  try {
    return submit(config);
  } catch (...) {
    messages_.pop_back();
    throw;
  }
}

void ChatSession::keep_answer(const std::string& text) {
  messages_.push_back(Message::from_text("assistant", text));
}

TextStream ChatSession::regenerate(const GenerationConfig& config) {
  if (messages_.empty() || messages_.back().role != "assistant")
    fail(ErrorCode::kInvalidArgument, "there is no answer yet that could be generated again");
  messages_.pop_back();
  return submit(config);
}

void ChatSession::set_system(const std::string& text) {
  if (!messages_.empty() && messages_.front().role == "system") messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), Message::from_text("system", text));
}

void ChatSession::clear() {
  bool has_system = !messages_.empty() && messages_.front().role == "system";
  messages_.resize(has_system ? 1 : 0);
  try {
    pipeline_.engine().end_session(session_.id, session_.owner);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;  // nothing was asked yet
  }
}

}  // namespace turgo
