// The terminal side of a chat, whatever answers: reads messages and commands until the person leaves.
#pragma once

#include <string>

#include "apps/chat_input.h"
#include "apps/terminal/terminal.h"

namespace turgo {

class Error;

extern const char* const kChatHelp;

class ChatLoop {
 public:
  virtual ~ChatLoop() = default;
  int run();  // exit code

 protected:
  // Each writes its answer to stdout. What they throw as Error ends the turn, not the conversation.
  virtual void ask(const std::string& text) = 0;
  virtual void regenerate() = 0;
  virtual void forget() = 0;
  virtual void set_system(const std::string& text) = 0;  // "" = none
  virtual void print_stats() const = 0;

  LineReader reader_;
  InterruptGuard interrupt_;
  int exit_code_ = 0;

 private:
  void handle(const ChatInput& input);
  void report(const Error& error);
  int num_interrupts_ = 0;
};

}  // namespace turgo
