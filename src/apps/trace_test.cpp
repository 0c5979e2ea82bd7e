#include "apps/trace.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace turgo {
namespace {

TEST(Trace, LinesAreSortedByArrival) {
  auto trace = parse_trace(
      "{\"arrival_s\": 2, \"prompt_tokens\": 5, \"output_tokens\": 1, \"session\": 7}\n\n"
      "{\"prompt_tokens\": 9, \"output_tokens\": 3, \"priority\": -2, \"prefix\": \"p\", \"prefix_tokens\": "
      "4}",
      "t");
  ASSERT_EQ(trace.size(), 2u);
  EXPECT_EQ(trace[0].prompt_tokens, 9);
  EXPECT_EQ(trace[0].priority, -2);
  EXPECT_EQ(trace[0].prefix_tokens, 4);
  EXPECT_EQ(trace[1].session, "7");
  EXPECT_EQ(trace[1].arrival_s, 2);
}

TEST(Trace, BadLinesAreNamed) {
  for (const char* bad :
       {"[1]", "{\"prompt_tokens\": 5}", "{\"prompt_tokens\": 0, \"output_tokens\": 1}",
        "{\"prompt_tokens\": 1.5, \"output_tokens\": 1}", "{\"prompt_tokens\": 5, \"output_tokens\":",
        "{\"prompt_tokens\": 5, \"output_tokens\": 1, \"arrival_s\": -1}",
        "{\"prompt_tokens\": 5, \"output_tokens\": 1, \"arrival_s\": 1e300}",
        "{\"prompt_tokens\": 5, \"output_tokens\": 1, \"prefix_tokens\": 6}",
        "{\"prompt_tokens\": 5, \"output_tokens\": 1, \"arival\": 6}",
        "{\"prompt_tokens\": 99999999999, \"output_tokens\": 1}"}) {
    try {
      parse_trace(fmt::format("\n{}\n", bad), "t");
      ADD_FAILURE() << bad;
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), ErrorCode::kCorrupt) << bad;
      EXPECT_NE(std::string(e.what()).find("t line 2"), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(parse_trace("\n", "t"), Error);
  EXPECT_THROW(read_trace("/nonexistent"), Error);
}

}  // namespace
}  // namespace turgo
