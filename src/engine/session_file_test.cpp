// Session files: kept over the death of an engine, and every damage is an error that changes nothing.
#include "engine/session_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

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
  EXPECT_THROW(write_session_file("/dev/full/x", sample(), "m", "me"), Error);
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

// A file-size limit behaves as a full disk does. Neither the session nor a stream beside it notices.
TEST_F(SessionFile, AFullDiskIsAnErrorOfThatSaveAlone) {
  auto e = engine();
  Request first = test_request(40, 20, 3), second = test_request(15, 20, 5),
          beside = test_request(70, 400, 7);
  first.session_id = "s";
  drain(*e->submit(first));
  e->save_session("s", "", path_);
  std::string good = bytes();
  EXPECT_EQ(std::filesystem::status(path_).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  auto stream = e->submit(beside);
  auto previous = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  rlimit full = old;
  full.rlim_cur = 16;
  ::setrlimit(RLIMIT_FSIZE, &full);
  ErrorCode code = ErrorCode::kCancelled;
  std::string message;
  try {
    e->save_session("s", "", path_);
  } catch (const Error& error) {
    code = error.code();
    message = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, previous);
  EXPECT_EQ(code, ErrorCode::kResourceExhausted);
  EXPECT_NE(message.find("free some space"), std::string::npos) << message;
  EXPECT_EQ(bytes(), good);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);

  EXPECT_EQ(drain(*stream), reference(beside));
  Request whole = second;
  auto history = e->session_tokens("s", "");
  whole.input_ids.insert(whole.input_ids.begin(), history.begin(), history.end());
  second.session_id = "s";
  EXPECT_EQ(drain(*e->submit(second)), reference(whole));
  EXPECT_EQ(e->stats().num_active_blocks, 0);
}

TEST_F(SessionFile, TwoSavesAtOnceLeaveOneWholeFile) {
  SessionContent one, other;
  one.tokens.assign(3, 1);
  other.tokens.assign(30'000, 2);
  auto save = [&](const SessionContent& content) {
    for (int i = 0; i < 20; ++i) write_session_file(path_, content, "m", "me");
  };
  std::thread a(save, one), b(save, other);
  a.join();
  b.join();
  auto kept = read_session_file(path_, "m", "me", 61, 2).tokens;
  EXPECT_TRUE(kept == one.tokens || kept == other.tokens) << kept.size();
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace turgo
