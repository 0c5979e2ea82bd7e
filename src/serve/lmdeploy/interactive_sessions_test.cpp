#include "serve/lmdeploy/interactive_sessions.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

TEST(InteractiveSessions, TheOneThatRestsForLongestMakesRoom) {
  InteractiveSessions sessions(3);
  for (const char* id : {"1", "2", "3"}) ASSERT_NE(sessions.find("a", id, true), nullptr);
  EXPECT_EQ(sessions.find("b", "1", true), nullptr);  // another owner's session, and no room for it
  EXPECT_NE(sessions.find("a", "1", false), nullptr);
  EXPECT_EQ(sessions.make_room(), (InteractiveSessions::Key{"a", "2"}));
  EXPECT_EQ(sessions.make_room(), std::nullopt);  // there is room
  EXPECT_NE(sessions.find("b", "1", true), nullptr);
  EXPECT_EQ(sessions.find("a", "2", false), nullptr);
}

TEST(InteractiveSessions, ThoseThatAnswerStay) {
  InteractiveSessions sessions(2);
  sessions.find("a", "1", true)->busy = true;
  sessions.find("a", "2", true)->busy = true;
  EXPECT_EQ(sessions.make_room(), std::nullopt);
  sessions.find("a", "1", false)->busy = false;
  EXPECT_EQ(sessions.make_room(), (InteractiveSessions::Key{"a", "1"}));
}

}  // namespace
}  // namespace turgo
