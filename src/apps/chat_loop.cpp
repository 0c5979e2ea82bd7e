#include "apps/chat_loop.h"

#include <cstdio>
#include <optional>

#include "apps/output.h"
#include "apps/terminal/terminal.h"
#include "core/error.h"

namespace turgo {

const char* const kChatHelp =
    "An empty line sends. Commands, sent the same way:\n"
    "  exit          leave (also Ctrl-D)\n"
    "  end           forget the conversation\n"
    "  /system TEXT  set the system prompt from the next turn on; without TEXT: none\n"
    "  /regen        answer the last question again\n"
    "  /stats        speed and context use of the last answer\n"
    "  /help         this list\n"
    "Ctrl-C stops an answer and keeps the conversation.\n";

int ChatLoop::run() {
  for (;;) {
    ChatInput input = read_chat_input(reader_);
    if (input.kind == ChatInput::Kind::kInterrupt) {
      if (!reader_.interactive()) return 130;
      if (++num_interrupts_ > 1) return 0;
      write_stdout("(Ctrl-C again or Ctrl-D leaves)");
      continue;
    }
    num_interrupts_ = 0;
    if (input.kind == ChatInput::Kind::kExit || input.kind == ChatInput::Kind::kEndOfInput) return exit_code_;
    try {
      // What is typed while an answer runs does not show in it: it waits for the next prompt.
      std::optional<RawMode> quiet;
      if (reader_.interactive()) quiet.emplace(RawMode::Control::kSignals);
      handle(input);
    } catch (const Error& error) {
      report(error);
    }
    if (input.is_last) return exit_code_;
  }
}

void ChatLoop::handle(const ChatInput& input) {
  switch (input.kind) {
    case ChatInput::Kind::kMessage:
      if (!input.text.empty()) ask(input.text);
      break;
    case ChatInput::Kind::kRegenerate:
      regenerate();
      break;
    case ChatInput::Kind::kEnd:
      forget();
      if (reader_.interactive()) write_stdout("(the conversation is forgotten)\n");
      break;
    case ChatInput::Kind::kSystem:
      set_system(input.text);
      if (reader_.interactive())
        write_stdout(input.text.empty() ? "(no system prompt)\n" : "(system prompt set)\n");
      break;
    case ChatInput::Kind::kStats:
      print_stats();
      break;
    case ChatInput::Kind::kHelp:
      write_stdout(kChatHelp);
      break;
    case ChatInput::Kind::kUnknown:
      fail(ErrorCode::kInvalidArgument, "there is no command {}; /help lists them", input.text);
    default:
      break;
  }
}

// A turn that fails leaves the conversation as it was; through a pipe the exit code tells of it.
void ChatLoop::report(const Error& error) {
  std::fprintf(stderr, "turgo: %s%s\n", error.what(),
               error.code() == ErrorCode::kTooLong ? "; `end` begins a new conversation" : "");
  if (!reader_.interactive()) exit_code_ = 2;
}

}  // namespace turgo
