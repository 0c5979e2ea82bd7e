// The C interface without a tokenizer: a tiny model answers token ids; wrong calls become statuses with a
// text.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/turgo.h"

namespace {

const std::string kModel = std::string(TURGO_SOURCE_DIR) + "/tests/goldens/models/llama_gqa";
constexpr char kOptions[] = R"({"precision": "f32", "session_len": 64, "cache_max_entry_count": 16})";

struct Model {
  Model() { EXPECT_EQ(turgo_open(kModel.c_str(), kOptions, &handle), TURGO_OK) << turgo_last_error(); }
  ~Model() { turgo_close(handle); }
  turgo_model* handle = nullptr;
};

struct Collected {
  std::vector<int32_t> ids;
  turgo_finish finish = TURGO_RUNNING;
  int num_events = 0, cancel_after = -1;
};
int collect(void* user, const turgo_event* event) {
  auto& c = *static_cast<Collected*>(user);
  c.ids.insert(c.ids.end(), event->token_ids, event->token_ids + event->num_tokens);
  c.finish = event->finish;
  EXPECT_EQ(event->text[event->text_bytes], '\0');
  return ++c.num_events == c.cancel_after;
}

std::string request(const std::string& more = "") {
  return R"({"token_ids": [1, 2, 3, 4, 5], "max_new_tokens": 12, "temperature": 0, "ignore_eos": true)" +
         more + "}";
}

TEST(CApi, VersionsAreThere) {
  EXPECT_STREQ(turgo_version(), TURGO_VERSION);
  EXPECT_EQ(turgo_abi_version(), 1);
}

TEST(CApi, GenerateAndStreamAgree) {
  Model model;
  Collected all;
  ASSERT_EQ(turgo_generate(model.handle, request().c_str(), collect, &all), TURGO_OK) << turgo_last_error();
  EXPECT_EQ(all.ids.size(), 12u);
  EXPECT_EQ(all.finish, TURGO_LENGTH);

  turgo_stream* stream = nullptr;
  ASSERT_EQ(turgo_submit(model.handle, request().c_str(), &stream), TURGO_OK);
  std::vector<int32_t> ids;
  turgo_event event;
  turgo_status status = TURGO_OK;
  while ((status = turgo_next(stream, 1000, &event)) == TURGO_OK)
    ids.insert(ids.end(), event.token_ids, event.token_ids + event.num_tokens);
  EXPECT_EQ(status, TURGO_END);
  EXPECT_EQ(ids, all.ids);
  EXPECT_EQ(turgo_next(stream, -1, &event), TURGO_END);
  turgo_stream_free(stream);
}

TEST(CApi, SessionsContinueForkSaveLoadEnd) {
  Model model;
  const std::string path = testing::TempDir() + "turgo_c_api.session";
  Collected first, again, restored;
  ASSERT_EQ(
      turgo_generate(model.handle, request(R"(, "session": "s", "owner": "o")").c_str(), collect, &first),
      TURGO_OK);
  int32_t n = 0;
  ASSERT_EQ(turgo_session_num_tokens(model.handle, "s", "o", &n), TURGO_OK);
  EXPECT_EQ(n, 17);
  EXPECT_EQ(turgo_session_num_tokens(model.handle, "s", "another", &n), TURGO_NOT_FOUND);
  ASSERT_EQ(turgo_session_fork(model.handle, "s", "t", "o"), TURGO_OK);
  ASSERT_EQ(turgo_session_save(model.handle, "s", "o", path.c_str()), TURGO_OK) << turgo_last_error();
  ASSERT_EQ(turgo_session_end(model.handle, "s", "o"), TURGO_OK);
  EXPECT_EQ(turgo_session_end(model.handle, "s", "o"), TURGO_NOT_FOUND);
  {
    Model other;
    ASSERT_EQ(turgo_session_load(other.handle, path.c_str(), "s", "o"), TURGO_OK) << turgo_last_error();
    EXPECT_EQ(turgo_session_load(other.handle, path.c_str(), "s", "x"), TURGO_INVALID_ARGUMENT);
    std::string all = R"({"token_ids": [1, 2, 3, 4, 5)";
    for (int32_t id : first.ids) all += ", " + std::to_string(id);
    all += R"(, 6], "max_new_tokens": 5, "temperature": 0, "ignore_eos": true, "owner": "o", "session": ")";
    ASSERT_EQ(turgo_generate(other.handle, (all + "s\"}").c_str(), collect, &restored), TURGO_OK);
    ASSERT_EQ(turgo_generate(model.handle, (all + "t\"}").c_str(), collect, &again), TURGO_OK);
    EXPECT_EQ(again.ids, restored.ids);
  }
  std::filesystem::remove(path);
}

TEST(CApi, AnIdleSessionIsForgottenAfterItsTime) {
  turgo_model* model = nullptr;
  std::string options = kOptions;
  options.insert(1, R"("session_ttl": 0.02, )");
  ASSERT_EQ(turgo_open(kModel.c_str(), options.c_str(), &model), TURGO_OK) << turgo_last_error();
  Collected answer;
  ASSERT_EQ(turgo_generate(model, request(R"(, "session": "s")").c_str(), collect, &answer), TURGO_OK);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  int32_t n = 0;
  EXPECT_EQ(turgo_session_num_tokens(model, "s", "", &n), TURGO_NOT_FOUND);
  turgo_close(model);
}

TEST(CApi, CancelFromTheCallbackAndFromAnotherThread) {
  Model model;
  std::string longer =
      R"({"token_ids": [1, 2], "max_new_tokens": 250, "temperature": 0, "ignore_eos": true})";
  Collected some;
  some.cancel_after = 1;
  EXPECT_EQ(turgo_generate(model.handle, longer.c_str(), collect, &some), TURGO_OK);
  EXPECT_TRUE(some.finish == TURGO_FINISH_CANCELLED || some.finish == TURGO_LENGTH);
  turgo_stream* stream = nullptr;
  ASSERT_EQ(turgo_submit(model.handle, longer.c_str(), &stream), TURGO_OK);
  std::thread canceller([&] { turgo_cancel(stream); });
  turgo_event event{};
  while (turgo_next(stream, -1, &event) == TURGO_OK && event.finish == TURGO_RUNNING) {
  }
  EXPECT_NE(event.finish, TURGO_RUNNING);
  canceller.join();
  turgo_stream_free(stream);
}

TEST(CApi, AStreamOutlivesItsModel) {
  turgo_model* model = nullptr;
  ASSERT_EQ(turgo_open(kModel.c_str(), kOptions, &model), TURGO_OK);
  turgo_stream* stream = nullptr;
  ASSERT_EQ(turgo_submit(model, request().c_str(), &stream), TURGO_OK);
  turgo_close(model);
  turgo_event event{};
  while (turgo_next(stream, -1, &event) == TURGO_OK) {
  }
  EXPECT_TRUE(event.finish == TURGO_FINISH_CANCELLED || event.finish == TURGO_LENGTH);
  turgo_cancel(stream);
  turgo_stream_free(stream);
}

TEST(CApi, WrongCallsAreStatusesWithOneLine) {
  turgo_model* none = nullptr;
  auto open_says = [&](const char* path, const char* options, turgo_status status, const char* words) {
    EXPECT_EQ(turgo_open(path, options, &none), status) << words;
    EXPECT_EQ(none, nullptr);
    EXPECT_NE(std::string(turgo_last_error()).find(words), std::string::npos) << turgo_last_error();
    EXPECT_EQ(std::string(turgo_last_error()).find('\n'), std::string::npos);
  };
  open_says(nullptr, nullptr, TURGO_INVALID_ARGUMENT, "path: expected a pointer");
  open_says("/no/such/model", nullptr, TURGO_NOT_FOUND, "/no/such/model");
  open_says(kModel.c_str(), "{", TURGO_CORRUPT, "the options");
  open_says(kModel.c_str(), "[]", TURGO_INVALID_ARGUMENT, "expected a JSON object");
  open_says(kModel.c_str(), R"({"sesion_len": 5})", TURGO_INVALID_ARGUMENT, "session_len");
  open_says(kModel.c_str(), R"({"quant_policy": 7})", TURGO_INVALID_ARGUMENT, "quant-policy");
  EXPECT_EQ(turgo_open(kModel.c_str(), nullptr, nullptr), TURGO_INVALID_ARGUMENT);
  turgo_close(nullptr);
  turgo_stream_free(nullptr);
  turgo_cancel(nullptr);

  Model model;
  turgo_stream* stream = nullptr;
  struct {
    const char* request;
    turgo_status status;
    const char* words;
  } const cases[] = {
      {nullptr, TURGO_INVALID_ARGUMENT, "request_json: expected a pointer"},
      {"", TURGO_CORRUPT, "the request"},
      {"{}", TURGO_INVALID_ARGUMENT, "expected one of messages, prompt and token_ids"},
      {R"({"prompt": "x", "token_ids": [1]})", TURGO_INVALID_ARGUMENT, "expected one of"},
      {R"({"prompt": "x"})", TURGO_UNSUPPORTED, "no tokenizer"},
      {R"({"messages": [{"role": "user"}]})", TURGO_INVALID_ARGUMENT, "messages: expected a list"},
      {R"({"messages": []})", TURGO_UNSUPPORTED, "no chat template"},
      {R"({"token_ids": []})", TURGO_INVALID_ARGUMENT, "empty"},
      {R"({"token_ids": ["1"]})", TURGO_INVALID_ARGUMENT, "token_ids: expected a list of numbers"},
      {R"({"token_ids": {"a": 1}})", TURGO_INVALID_ARGUMENT, "token_ids: expected a list of numbers"},
      {R"({"token_ids": [-1]})", TURGO_INVALID_ARGUMENT, "token_ids"},
      {R"({"token_ids": [64]})", TURGO_INVALID_ARGUMENT, "64"},
      {R"({"token_ids": [1], "temprature": 1})", TURGO_INVALID_ARGUMENT, "temperature"},
      {R"({"token_ids": [1], "session": 5})", TURGO_INVALID_ARGUMENT, "session: expected a string"},
      {R"({"token_ids": [1], "top_p": 7})", TURGO_INVALID_ARGUMENT, "top-p"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(turgo_submit(model.handle, c.request, &stream), c.status)
        << c.words << ": " << turgo_last_error();
    EXPECT_EQ(stream, nullptr);
    EXPECT_NE(std::string(turgo_last_error()).find(c.words), std::string::npos) << turgo_last_error();
  }
  EXPECT_EQ(turgo_submit(nullptr, "{}", &stream), TURGO_INVALID_ARGUMENT);
  EXPECT_EQ(turgo_generate(model.handle, "{}", nullptr, nullptr), TURGO_INVALID_ARGUMENT);
  std::string too_long = R"({"token_ids": [1)";
  for (int i = 0; i < 300; ++i) too_long += ",2";
  EXPECT_EQ(turgo_submit(model.handle, (too_long + "]}").c_str(), &stream), TURGO_TOO_LONG)
      << turgo_last_error();
  Collected good;
  EXPECT_EQ(turgo_generate(model.handle, request().c_str(), collect, &good), TURGO_OK);
}

}  // namespace
