// The parts of forwarding that need no network: what is read of requests and answers, and what goes on.
#include "serve/proxy/forward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>
#include <filesystem>

#include "core/error.h"
#include "serve/api_error.h"
#include "serve/proxy/answer_check.h"
#include "serve/proxy/health_checker.h"
#include "serve/proxy/state_file.h"

namespace turgo {
namespace {

HttpRequest post(const std::string& path, const std::string& body, HttpFields fields = {}) {
  HttpRequest request;
  request.method = "POST";
  request.path = request.target = path;
  request.fields = std::move(fields);
  request.body = body;
  return request;
}

TEST(RequestFacts, ReadsModelStreamAndSession) {
  auto facts =
      read_request_facts(post("/v1/chat/completions", R"({"model": "m", "stream": true, "messages": []})"));
  EXPECT_EQ(facts.model, "m");
  EXPECT_TRUE(facts.is_stream);
  EXPECT_EQ(facts.session, 0u);
  EXPECT_TRUE(read_request_facts(post("/api/chat", R"({"model": "m"})")).is_stream);
  EXPECT_FALSE(read_request_facts(post("/api/chat", R"({"model": "m", "stream": false})")).is_stream);
  auto kept =
      read_request_facts(post("/v1/chat/interactive", R"({"session_id": 7, "interactive_mode": true})"));
  EXPECT_TRUE(kept.is_stateful && !kept.ends_session && kept.session != 0);
  auto last = read_request_facts(post("/v1/chat/interactive", R"({"session_id": 7, "prompt": ""})"));
  EXPECT_TRUE(last.ends_session);
  EXPECT_EQ(last.session, kept.session);
  EXPECT_EQ(read_request_facts(post("/v1/chat/interactive", R"({"session_id": -1})")).session, 0u);
  auto next = read_request_facts(post("/v1/responses", R"({"previous_response_id": "resp_1"})"));
  EXPECT_TRUE(next.is_stateful);
  EXPECT_EQ(next.session, session_key("response", "resp_1", ""));
  auto named = read_request_facts(post("/v1/completions", "{}", {{"x-session-id", "a"}}));
  EXPECT_TRUE(named.session != 0 && !named.is_stateful);
}

TEST(RequestFacts, NoTwoCallersShareASession) {
  auto of = [](const char* key) {
    return read_request_facts(post("/v1/chat/interactive", R"({"session_id": 7})", {{"authorization", key}}))
        .session;
  };
  EXPECT_NE(of("Bearer a"), of("Bearer b"));
  EXPECT_EQ(of("Bearer a"), of("Bearer a"));
}

TEST(RequestFacts, ChainsGrowWithTheConversation) {
  std::string system(700, 's'), turn(600, 't');
  auto chain = [&](const std::string& more) {
    return read_request_facts(post("/v1/chat/completions",
                                   R"({"messages": [{"role": "system", "content": ")" + system +
                                       R"("}, {"role": "user", "content": [{"type": "text", "text": ")" +
                                       turn + R"("}]})" + more + "]}"))
        .chain;
  };
  auto one = chain(""), two = chain(R"(, {"role": "user", "content": ")" + std::string(300, 'u') + "\"}");
  ASSERT_GE(one.size(), 5u);
  ASSERT_GT(two.size(), one.size());
  EXPECT_TRUE(std::equal(one.begin(), one.end(), two.begin()));
  system[650] = 'x';  // in the third chunk
  auto other = chain("");
  EXPECT_EQ(other[1], one[1]);
  EXPECT_NE(other[2], one[2]);
  EXPECT_NE(other.back(), one.back());
  EXPECT_EQ(read_request_facts(post("/v1/completions", R"({"prompt": "hi"})")).chain.size(), 1u);
  EXPECT_EQ(read_request_facts(post("/v1/completions", R"({"prompt": [1, 2, 3]})")).chain.size(), 1u);
  EXPECT_EQ(read_request_facts(post("/v1/completions", R"({"prompt": ")" + std::string(1 << 20, 'p') + "\"}"))
                .chain.size(),
            kMaxChunks);
}

TEST(RequestFacts, RefusesWhatIsNoRequest) {
  for (const char* body : {"", "[]", "{", "3", R"({"model": 3})", R"({"model": ["m"]})"})
    EXPECT_THROW(read_request_facts(post("/v1/completions", body)), ApiError) << body;
  std::string deep(100'000, '[');
  EXPECT_THROW(read_request_facts(post("/v1/completions", deep)), ApiError);
}

TEST(AnswerCheck, FindsTheModelThatAnswered) {
  EXPECT_EQ(find_json_text(R"({"id": "x", "model" : "a\/b", "choices": []})", "model"), "a/b");
  EXPECT_EQ(find_json_text(R"(data: {"type":"message_start","message":{"model":"c"}})", "model"), "c");
  EXPECT_EQ(find_json_text(R"({"text": "he said \"model\": \"x\""})", "model"), std::nullopt);
  EXPECT_EQ(find_json_text(R"({"model": 3})", "model"), std::nullopt);
  EXPECT_EQ(find_json_text(R"({"model")", "model"), std::nullopt);
  EXPECT_TRUE(is_model("a", "a:latest") && is_model("a:latest", "a") && is_model("a", ""));
  EXPECT_FALSE(is_model("a", "b"));
}

TEST(StreamGuard, LetsWholeEventsThroughHoweverTheyCome) {
  std::string stream = "data: {\"a\": 1}\n\ndata: {\"b\": 2}\r\n\r\ndata: [DONE]\n\n";
  for (size_t step = 1; step < stream.size(); ++step) {
    StreamGuard guard(StreamForm::kEvents);
    std::string out;
    for (size_t at = 0; at < stream.size(); at += step) {
      std::string more = guard.pass(stream.substr(at, step));
      EXPECT_TRUE(more.empty() || more.ends_with("\n\n") || more.ends_with("\r\n\r\n"));
      out += more;
    }
    EXPECT_EQ(out + guard.rest(), stream);
  }
}

TEST(StreamGuard, AnErrorNeverStandsInsideAnEvent) {
  StreamGuard events(StreamForm::kEvents);
  EXPECT_EQ(events.pass("data: 1\n\ndata: half"), "data: 1\n\n");
  std::string end = events.broken("/v1/chat/completions", "gone");
  EXPECT_THAT(end, testing::StartsWith("data: {\"error\":"));
  EXPECT_THAT(end, testing::EndsWith("\n\n"));
  EXPECT_THAT(end, testing::Not(testing::HasSubstr("DONE")));
  EXPECT_THAT(events.broken("/v1/messages", "gone"), testing::StartsWith("event: error\n"));
  StreamGuard lines(StreamForm::kLines);
  EXPECT_EQ(lines.pass("{}\n{\"ha"), "{}\n");
  EXPECT_THAT(lines.broken("/api/chat", "gone"), testing::StartsWith("{\"error\":"));
  StreamGuard endless(StreamForm::kEvents);
  std::string much(300 << 10, 'x');
  EXPECT_EQ(endless.pass("data: " + much).size(), much.size() + 6);  // bounded, not held
  EXPECT_THAT(endless.broken("/v1/completions", "gone"), testing::StartsWith("\n\ndata: "));
}

TEST(EndToEndFields, DropsWhatIsMeantForOneConnection) {
  HttpFields in = {{"host", "a"},
                   {"connection", "close, X-Mine"},
                   {"x-mine", "1"},
                   {"te", "trailers"},
                   {"x-request-id", "7"},
                   {"authorization", "Bearer k"},
                   {"cookie", "c"},
                   {"transfer-encoding", "chunked"},
                   {"x-bad", std::string("a\nb")}};
  auto request = end_to_end_fields(in, true);
  EXPECT_THAT(request, testing::ElementsAre(testing::Pair("x-request-id", "7"),
                                            testing::Pair("authorization", "Bearer k")));
  auto answer = end_to_end_fields(
      {{"retry-after", "3"}, {"set-cookie", "a"}, {"date", "x"}, {"access-control-allow-origin", "*"}},
      false);
  EXPECT_THAT(answer, testing::ElementsAre(testing::Pair("retry-after", "3")));
}

TEST(ModelList, ReadsAndRefuses) {
  EXPECT_THAT(read_model_list(R"({"data": [{"id": "a"}, {"id": 3}, {}, {"id": "b"}]})"),
              testing::ElementsAre("a", "b"));
  for (const char* body : {"", "[]", "<html>", R"({"data": {}})", R"({"models": []})"})
    EXPECT_THROW(read_model_list(body), Error) << body;
}

TEST(RetryBudget, IsAFifthOfTheRequests) {
  RetryBudget budget;
  int burst = 0;
  while (budget.take()) ++burst;
  EXPECT_EQ(burst, 256);
  int retries = 0;
  for (int i = 0; i < 1000; ++i) {
    budget.earn();
    retries += budget.take();
  }
  EXPECT_NEAR(retries, 200, 1);
}

TEST(StateFile, HoldsAWholeStateOrTheOneBefore) {
  auto folder = std::filesystem::temp_directory_path() / fmt::format("turgo_state_{}", ::getpid());
  std::filesystem::create_directories(folder);
  std::string path = (folder / "deep" / "state.json").string();
  {
    StateFile file(path);
    EXPECT_EQ(file.read(), "");
    std::string error = "not called";
    for (int i = 0; i <= 100; ++i)
      file.write(fmt::format("{}", i), [&error](const std::string& wrong) { error = wrong; });
    file.finish();
    EXPECT_EQ(error, "");
    EXPECT_EQ(file.read(), "100");
    EXPECT_FALSE(std::filesystem::exists(path + ".part"));
    EXPECT_EQ(std::filesystem::status(path).permissions() & std::filesystem::perms::group_all,
              std::filesystem::perms::none);
  }
  StateFile full("/dev/full/state.json");  // no folder: stands for every path that can not be written
  std::string error;
  full.write("x", [&error](const std::string& wrong) { error = wrong; });
  full.finish();
  EXPECT_NE(error, "");
  EXPECT_THROW(StateFile(folder.string()).read(), Error);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace turgo
