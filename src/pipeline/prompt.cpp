#include "pipeline/prompt.h"

#include "core/error.h"

namespace turgo {

std::string message_text(const Message& message) {
  std::string text;
  for (const Segment& segment : message.content) {
    if (segment.kind == Segment::Kind::kImage)
      fail(ErrorCode::kUnsupported, "images in a message are not built yet; expected text");
    if (segment.kind == Segment::Kind::kTokens)
      fail(ErrorCode::kInvalidArgument,
           "expected text in a message, got token ids; they can only continue a raw prompt");
    text += segment.text;
  }
  return text;
}

}  // namespace turgo
