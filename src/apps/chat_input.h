// What a person says in a chat: a message of several lines that an empty line sends, or a command.
#pragma once

#include <string>

#include "apps/terminal/line_reader.h"

namespace turgo {

inline constexpr const char* kChatPrompt = "double enter to end input >>> ";  // as LMDeploy's users know it

struct ChatInput {
  enum class Kind {
    kMessage,
    kExit,
    kEnd,
    kSystem,
    kRegenerate,
    kStats,
    kHelp,
    kUnknown,
    kInterrupt,
    kEndOfInput
  };
  Kind kind = Kind::kMessage;
  std::string text;      // of the message; the argument of /system; the word that is unknown
  bool is_last = false;  // the input ended with it
};

// Reads lines until an empty one; leading empty lines are skipped. The end of the input sends what stands.
ChatInput read_chat_input(LineReader& reader);

// `exit`, `end`, /system TEXT, /regen, /stats, /help; a message that merely begins with a path is a message.
ChatInput parse_chat_input(std::string text);

}  // namespace turgo
