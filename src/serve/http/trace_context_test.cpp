#include "serve/http/trace_context.h"

#include <gtest/gtest.h>

namespace turgo {
namespace {

const std::string kTrace = "0af7651916cd43dd8448eb211c80319c", kParent = "b7ad6b7169203331";

TEST(TraceContext, ContinuesTheCallersTrace) {
  TraceContext trace = continue_trace("00-" + kTrace + "-" + kParent + "-01");
  EXPECT_EQ(trace.trace_id, kTrace);
  EXPECT_EQ(trace.parent_id, kParent);
  EXPECT_TRUE(trace.is_sampled);
  EXPECT_NE(trace.span_id, kParent);
  EXPECT_EQ(to_traceparent(trace), "00-" + kTrace + "-" + trace.span_id + "-01");
  EXPECT_FALSE(continue_trace("00-" + kTrace + "-" + kParent + "-00").is_sampled);
  EXPECT_EQ(continue_trace("01-" + kTrace + "-" + kParent + "-03-more").trace_id, kTrace);
}

TEST(TraceContext, BeginsOneForWhatIsBroken) {
  const std::string broken[] = {
      "",
      "00-" + kTrace + "-" + kParent,
      "00-" + kTrace + "-" + kParent + "-01-more",               // version 00 ends here
      "ff-" + kTrace + "-" + kParent + "-01",                    // a forbidden version
      "00-" + std::string(32, '0') + "-" + kParent + "-01",      // no id
      "00-" + kTrace + "-" + std::string(16, '0') + "-01",       // no id
      "00-" + kTrace + "-" + kParent + "-0g",                    // not hex
      "00-0AF7651916CD43DD8448EB211C80319C-" + kParent + "-01",  // upper case
      "00_" + kTrace + "-" + kParent + "-01",                    // no dash
      "01-" + kTrace + "-" + kParent + "-01more",                // no dash behind the flags
      std::string(55, '-'),
  };
  for (const std::string& text : broken) {
    TraceContext trace = continue_trace(text);
    EXPECT_EQ(trace.parent_id, "") << text;
    EXPECT_NE(trace.trace_id, kTrace) << text;
    EXPECT_EQ(trace.trace_id.size(), 32U);
    EXPECT_EQ(trace.span_id.size(), 16U);
  }
  EXPECT_NE(continue_trace("").trace_id, continue_trace("").trace_id);
}

}  // namespace
}  // namespace turgo
