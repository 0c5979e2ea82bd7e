// Session files: kept over the death of an engine, and every damage is an error that changes nothing.
#include "engine/session_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "engine/core_harness.h"
#include "engine/engine_thread.h"

namespace turgo {
namespace {

class SessionFile : public testing::Test {
 protected:
  SessionFile()
      : folder_(std::filesystem::temp_directory_path() / fmt::format("turgo_session_test_{}", getpid())),
        path_(folder_ / "s.session") {
    std::filesystem::create_directories(folder_);
  }
  ~SessionFile() override { std::filesystem::remove_all(folder_); }

  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& content) const { std::ofstream(path_, std::ios::binary) << content; }
  static std::unique_ptr<Engine> engine() {
    return create_engine(std::make_unique<FakeRunner>(64, FakeRunner::small_limits()), 64,
                         CoreHarness::small_config(), nullptr);
  }
  static std::vector<int32_t> drain(Stream& stream) {
    std::vector<int32_t> tokens;
    while (auto e = stream.next())
      for (auto& t : e->tokens) tokens.push_back(t.token_id);
    return tokens;
  }
  ErrorCode load_error(const std::string& model = "m", const std::string& owner = "me") const {
    try {
      read_session_file(path_, model, owner, 61, 2);
    } catch (const Error& e) {
      return e.code();
    }
    return ErrorCode::kCancelled;  // no error
  }
  static SessionContent sample() { return {{3, -1, -1, 60}, {{1, 2, 3, 4}, {{0, "image"}}}}; }

  std::filesystem::path folder_, path_;
};

TEST_F(SessionFile, SavedAndLoadedIsKept) {
  for (int32_t n : kLengths) {
    Request first = test_request(n, 20, 3), second = test_request(15, 20, 5), whole = second;
    first.session_id = second.session_id = "s";
    first.owner = second.owner = "me";
    {
      auto e = engine();
      drain(*e->submit(first));
      auto tokens = e->session_tokens("s", "me");
      whole.input_ids.insert(whole.input_ids.begin(), tokens.begin(), tokens.end());
      e->save_session("s", "me", path_);
    }
    auto e = engine();
    e->load_session(path_, "s", "me");
    EXPECT_EQ(drain(*e->submit(second)), reference(whole)) << n;
    EXPECT_THROW(e->load_session(path_, "s", "me"), Error);     // taken
    EXPECT_THROW(e->load_session(path_, "t", "other"), Error);  // another owner's
    EXPECT_THROW(e->save_session("none", "me", path_), Error);
    EXPECT_EQ(e->list_sessions("me").size(), 1u);
    EXPECT_TRUE(e->list_sessions("other").empty());
  }
}

TEST_F(SessionFile, RoundTripWithEmbeddings) {
  write_session_file(path_, sample(), "m", "me");
  auto c = read_session_file(path_, "m", "me", 61, 2);
  EXPECT_EQ(c.tokens, sample().tokens);
  EXPECT_EQ(c.embeddings.values, sample().embeddings.values);
  ASSERT_EQ(c.embeddings.spans.size(), 1u);
  EXPECT_EQ(c.embeddings.spans[0].hash, "image");
  EXPECT_EQ(load_error("other model"), ErrorCode::kInvalidArgument);
  EXPECT_EQ(load_error("m", "you"), ErrorCode::kInvalidArgument);
}

TEST_F(SessionFile, EveryTruncationAndEveryFlippedBitIsFound) {
  write_session_file(path_, sample(), "m", "me");
  std::string good = bytes();
  for (size_t n = 0; n < good.size(); ++n) {
    write(good.substr(0, n));
    EXPECT_EQ(load_error(), ErrorCode::kCorrupt) << n;
  }
  for (size_t i = 0; i < good.size() * 8; ++i) {
    std::string bad = good;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    write(bad);
    ErrorCode code = load_error();
    EXPECT_TRUE(code == ErrorCode::kCorrupt || code == ErrorCode::kUnsupported) << i;
  }
  write(good + "x");
  EXPECT_EQ(load_error(), ErrorCode::kCorrupt);
}

TEST_F(SessionFile, ContentIsNotTrustedForItsChecksum) {
  auto refuse = [&](auto change) {
    SessionContent c = sample();
    change(c);
    write_session_file(path_, c, "m", "me");
    EXPECT_EQ(load_error(), ErrorCode::kCorrupt);
  };
  refuse([](auto& c) { c.tokens[0] = 61; });
  refuse([](auto& c) { c.tokens[0] = -1; });
  refuse([](auto& c) { c.embeddings.values.pop_back(); });
  refuse([](auto& c) { c.embeddings.spans.clear(); });
  refuse([](auto& c) { c.embeddings.spans[0].first_row = 1; });
  refuse([](auto& c) { c.embeddings.spans.push_back({2, ""}); });
  SessionContent longer;
  longer.tokens.assign(2000, 1);
  write_session_file(path_, longer, "fake", "me");
  auto e = engine();
  try {
    e->load_session(path_, "s", "me");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kTooLong);
  }
}

TEST_F(SessionFile, WhatCanNotBeWrittenLeavesTheOldFile) {
  write_session_file(path_, sample(), "m", "me");
  std::string good = bytes();
  try {
    write_session_file("/dev/full/x", sample(), "m", "me");
    ADD_FAILURE();
  } catch (const Error&) {
  }
  // A directory in the way: the rename fails, the temporary file goes away.
  auto blocked = folder_ / "blocked";
  std::filesystem::create_directories(blocked / "inside");
  EXPECT_THROW(write_session_file(blocked, sample(), "m", "me"), Error);
  size_t files = 0;
  for (auto& entry : std::filesystem::directory_iterator(folder_)) files += entry.is_regular_file();
  EXPECT_EQ(files, 1u);
  EXPECT_EQ(bytes(), good);
  EXPECT_THROW(read_session_file(folder_, "m", "me", 61, 2), Error);
  EXPECT_THROW(read_session_file("/dev/zero", "m", "me", 61, 2), Error);
  try {
    read_session_file(folder_ / "none", "m", "me", 61, 2);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNotFound);
  }
}

}  // namespace
}  // namespace turgo
