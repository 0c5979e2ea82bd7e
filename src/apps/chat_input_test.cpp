#include "apps/chat_input.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

using Kind = ChatInput::Kind;

TEST(ChatInput, CommandsAndMessages) {
  auto kind = [](const char* text) { return parse_chat_input(text).kind; };
  EXPECT_EQ(kind("exit"), Kind::kExit);
  EXPECT_EQ(kind("end"), Kind::kEnd);
  EXPECT_EQ(kind("exit now"), Kind::kMessage);
  EXPECT_EQ(kind("Exit"), Kind::kMessage);
  EXPECT_EQ(kind("/regen"), Kind::kRegenerate);
  EXPECT_EQ(kind("/stats"), Kind::kStats);
  EXPECT_EQ(kind("/help"), Kind::kHelp);
  EXPECT_EQ(kind("/regne"), Kind::kUnknown);
  EXPECT_EQ(kind("/usr/bin/env is what?"), Kind::kMessage);
  EXPECT_EQ(kind("/etc/passwd"), Kind::kMessage);
  EXPECT_EQ(kind("/"), Kind::kMessage);
  EXPECT_EQ(kind("请给我讲一个小故事吧"), Kind::kMessage);
}

TEST(ChatInput, SystemTakesAllLines) {
  ChatInput input = parse_chat_input("/system You are a pirate.\nAnswer shortly.");
  EXPECT_EQ(input.kind, Kind::kSystem);
  EXPECT_EQ(input.text, "You are a pirate.\nAnswer shortly.");
  EXPECT_EQ(parse_chat_input("/system").text, "");
}

}  // namespace
}  // namespace turgo
