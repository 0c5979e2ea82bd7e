// What goes in: a prompt is a vector of segments, so that images can stand between words.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace turgo {

struct Segment {
  enum class Kind { kText, kTokens, kImage };
  Kind kind = Kind::kText;
  std::string text;             // kText: UTF-8; kImage: a URL or path
  std::vector<int32_t> tokens;  // kTokens

  static Segment from_text(std::string text) { return {Kind::kText, std::move(text), {}}; }
  static Segment from_tokens(std::vector<int32_t> ids) { return {Kind::kTokens, "", std::move(ids)}; }
};

using Prompt = std::vector<Segment>;

struct Message {
  std::string role;  // "system", "user", "assistant", or what else a template knows
  Prompt content;    // text and images

  static Message from_text(std::string role, std::string text) {
    return {std::move(role), {Segment::from_text(std::move(text))}};
  }
};

// The text of all segments. Throws Error{kUnsupported} for images, kInvalidArgument for tokens in a message.
std::string message_text(const Message& message);

}  // namespace turgo
