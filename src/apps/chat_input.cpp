#include "apps/chat_input.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "apps/output.h"

namespace turgo {
namespace {

using Kind = ChatInput::Kind;

constexpr std::pair<const char*, Kind> kCommands[] = {
    {"/system", Kind::kSystem}, {"/regen", Kind::kRegenerate}, {"/stats", Kind::kStats},
    {"/help", Kind::kHelp},     {"/exit", Kind::kExit},        {"/end", Kind::kEnd},
};

}  // namespace

ChatInput parse_chat_input(std::string text) {
  if (text == "exit") return {Kind::kExit, ""};
  if (text == "end") return {Kind::kEnd, ""};
  if (!text.starts_with("/")) return {Kind::kMessage, std::move(text)};
  size_t end = std::min(text.find_first_of(" \n"), text.size());
  std::string word = text.substr(0, end);
  for (auto [name, kind] : kCommands)
    if (word == name) return {kind, end < text.size() ? text.substr(end + 1) : ""};
  bool looks_like_command =
      end == text.size() && word.size() > 1 &&
      std::all_of(word.begin() + 1, word.end(), [](unsigned char c) { return std::isalpha(c); });
  return {looks_like_command ? Kind::kUnknown : Kind::kMessage, looks_like_command ? word : std::move(text)};
}

ChatInput read_chat_input(LineReader& reader) {
  write_stdout("\n");
  std::string text, line, prompt = kChatPrompt;
  bool started = false;
  for (;;) {
    switch (reader.read(std::exchange(prompt, ""), line)) {
      case LineReader::Result::kInterrupt:
        return {Kind::kInterrupt, ""};
      case LineReader::Result::kEndOfInput: {
        if (!started) return {Kind::kEndOfInput, "", true};
        ChatInput input = parse_chat_input(std::move(text));
        input.is_last = true;
        return input;
      }
      case LineReader::Result::kLine:
        break;
    }
    if (line.empty()) {
      if (started) return parse_chat_input(std::move(text));
      if (!reader.interactive()) continue;
      return {Kind::kMessage, ""};
    }
    if (started) text += '\n';
    text += line;
    started = true;
  }
}

}  // namespace turgo
