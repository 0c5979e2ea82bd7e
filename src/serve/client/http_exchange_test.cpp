#include "serve/client/http_exchange.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace turgo {
namespace {

TEST(ServerUrl, Forms) {
  ServerUrl one = parse_server_url("http://localhost:23333");
  EXPECT_EQ(one.host, "localhost");
  EXPECT_EQ(one.port, 23333);
  EXPECT_EQ(one.prefix, "");
  EXPECT_EQ(parse_server_url("http://10.0.0.1/llm/").prefix, "/llm");
  EXPECT_EQ(parse_server_url("10.0.0.1").port, 80);
  EXPECT_EQ(parse_server_url("http://[::1]:80/v1").host, "::1");
  EXPECT_EQ(parse_server_url("http://[::1]").port, 80);
}

TEST(ServerUrl, WhatIsNone) {
  for (const char* url : {"", "http://", "http://:80", "http://a:0", "http://a:99999", "http://a:b",
                          "http://[::1", "https://a", "http://a b", "http://a/\r\nX: y"})
    EXPECT_THROW(parse_server_url(url), Error) << url;
}

TEST(LineCutter, CutsWhateverThePieces) {
  std::string text = "one\r\ntwo\n\nthree\nrest";
  for (size_t step = 1; step <= text.size(); ++step) {
    LineCutter cutter;
    std::vector<std::string> lines;
    for (size_t i = 0; i < text.size(); i += step) {
      cutter.add(std::string_view(text).substr(i, step));
      for (std::string line; cutter.next(line);) lines.push_back(line);
    }
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "", "three"})) << step;
  }
}

TEST(LineCutter, TakesTheDataOfEvents) {
  LineCutter cutter;
  cutter.add(": ping\n\nevent: x\ndata: {\"a\":1}\n\ndata:[DONE]\n\n");
  std::string data;
  ASSERT_TRUE(cutter.next_event(data));
  EXPECT_EQ(data, "{\"a\":1}");
  ASSERT_TRUE(cutter.next_event(data));
  EXPECT_EQ(data, "[DONE]");
  EXPECT_FALSE(cutter.next_event(data));
}

}  // namespace
}  // namespace turgo
