#include "serve/grammar/rehearsal.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "core/error.h"

namespace turgo {
namespace {

ErrorCode code_of(const std::function<void()>& work) {
  try {
    rehearse("the work", work, {1, 64 << 20});
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::kIo;
}

TEST(Rehearsal, ReturnsWhatWasPrintedAndChangesNothingHere) {
  int number = 1;
  std::string printed = rehearse("the work", [&] {
    number = 2;
    std::fputs("a warning\n", stderr);
  });
  EXPECT_EQ(printed, "a warning\n");
  EXPECT_EQ(number, 1);
}

TEST(Rehearsal, PassesOnWhatWasThrown) {
  try {
    rehearse("the work", [] {
      std::fputs("a warning\n", stderr);
      throw std::runtime_error("no such\nthing");
    });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(error.what(), "no such thing");
  }
}

TEST(Rehearsal, SurvivesACrashAnEndlessLoopAndAHungryOne) {
  EXPECT_EQ(code_of([] { std::abort(); }), ErrorCode::kTooLong);
  EXPECT_EQ(code_of([] {
              for (volatile int i = 0; i == 0;) {
              }
            }),
            ErrorCode::kTooLong);
  if (std::getenv("TURGO_SANITIZED")) return;  // a sanitizer's allocator ends the process its own way
  EXPECT_EQ(code_of([] {
              std::vector<std::vector<char>> all;
              for (;;) all.emplace_back(1 << 20, 'x');
            }),
            ErrorCode::kTooLong);
}

}  // namespace
}  // namespace turgo
