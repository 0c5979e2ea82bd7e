// Readers of tokenizer.json, tokenizer.model and folders: what they take, and that hostile files are errors
// of one line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "core/cpu_time_test_util.h"
#include "core/error.h"
#include "text/fixture_vocab_test_util.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"
#include "text/tokenizer_json.h"

namespace turgo {
namespace {

std::string json_of(const std::string& parts, const std::string& vocab = R"({"a":0,"b":1,"ab":2,"Ġ":3})",
                    const std::string& merges = R"(["a b"])") {
  return R"({"model":{"type":"BPE","vocab":)" + vocab + R"(,"merges":)" + merges + "}" + parts + "}";
}
constexpr const char* kByteLevel = R"(,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false})";

ErrorCode error_of(const std::string& json) {
  try {
    Tokenizer::create(parse_tokenizer_json(json, "tokenizer.json"));
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    EXPECT_LT(std::string(error.what()).size(), 500u);
    return error.code();
  }
  ADD_FAILURE() << "no error for " << json.substr(0, 200);
  return ErrorCode::kIo;
}

TEST(TokenizerJson, ByteLevel) {
  const auto tokenizer = Tokenizer::create(parse_tokenizer_json(
      json_of(std::string(kByteLevel) +
              R"(,"added_tokens":[{"id":4,"content":"<|end|>","special":true},{"id":5,"content":"ba"}])"),
      "tokenizer.json"));
  EXPECT_THAT(tokenizer->encode("ab aab"), testing::ElementsAre(2, 3, 0, 2));
  EXPECT_THAT(tokenizer->encode("ab<|end|>", true), testing::ElementsAre(2, 4));
  EXPECT_THAT(tokenizer->encode("aba"), testing::ElementsAre(0, 5));
  EXPECT_EQ(tokenizer->vocab_size(), 6);
  EXPECT_EQ(tokenizer->bos_id(), -1);
}

TEST(TokenizerJson, HostileFilesAreErrors) {
  const auto corrupt = ErrorCode::kCorrupt, unsupported = ErrorCode::kUnsupported;
  for (const char* text :
       {"", "{", "[]", "null", "{}", R"({"model":1})", R"({"model":{"type":"BPE"}})", "\xff\xfe"})
    EXPECT_EQ(error_of(text), corrupt) << text;
  EXPECT_EQ(error_of(std::string(100000, '[')), corrupt);
  std::string deep = "{\"type\":\"NFC\"}";
  for (int i = 0; i < 100; ++i) deep = R"({"type":"Sequence","normalizers":[)" + deep + "]}";
  EXPECT_EQ(error_of(json_of(",\"normalizer\":" + deep)), corrupt);
  const std::string step = kByteLevel;
  EXPECT_EQ(error_of(json_of(step, R"({"a":0})", R"(["a c"])")), corrupt);
  EXPECT_EQ(error_of(json_of(step, R"({"a":0})", R"(["a"])")), corrupt);
  EXPECT_EQ(error_of(json_of(step, R"({"a":0})", R"([["a"]])")), corrupt);
  EXPECT_EQ(error_of(json_of(step, R"({"a":0})", R"([1])")), corrupt);
  for (const char* id : {"-1", "2147483648", "1e3", "\"0\"", "null", "[0]", "9999999"})
    EXPECT_EQ(error_of(json_of(step, std::string(R"({"b":0,"a":)") + id + "}")), corrupt) << id;
  EXPECT_EQ(error_of(json_of(step, R"({"a":0,"b":0})", "[]")), corrupt);
  for (const char* id : {"-1", "99999999", "0.5", "\"1\""})
    EXPECT_EQ(error_of(json_of(std::string(R"(,"added_tokens":[{"content":"x","id":)") + id + "}]")), corrupt)
        << id;
  EXPECT_EQ(error_of(json_of(R"(,"added_tokens":[{"id":1}])")), corrupt);
  EXPECT_EQ(error_of(json_of(R"(,"added_tokens":7)")), corrupt);
  EXPECT_EQ(error_of(json_of(R"(,"normalizer":{"type":"Absent"})")), unsupported);
  EXPECT_EQ(error_of(json_of(R"(,"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA//8="})")),
            corrupt);
  EXPECT_EQ(error_of(json_of(R"(,"pre_tokenizer":{"type":"Absent"})")), unsupported);
  EXPECT_EQ(error_of(json_of(R"(,"decoder":{"type":"WordPiece"})")), unsupported);
  EXPECT_EQ(
      error_of(json_of(R"(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"})")),
      unsupported);
  EXPECT_EQ(error_of(json_of(
                R"(,"pre_tokenizer":{"type":"Split","pattern":{"Regex":"[a&&b]"},"behavior":"Isolated"})")),
            unsupported);
  EXPECT_EQ(error_of(R"({"model":{"type":"WordPiece","vocab":{"a":0}}})"), unsupported);
}

TEST(TokenizerJson, HostilePatternEnds) {
  const auto tokenizer = Tokenizer::create(parse_tokenizer_json(
      json_of(
          R"(,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a+)+b"},)"
          R"("behavior":"Isolated"},{"type":"ByteLevel","use_regex":false,"add_prefix_space":false}]})"),
      "tokenizer.json"));
  try {
    tokenizer->encode(std::string(5000, 'a'));
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
}

// The normalizers of tokenizer.json and their chains: 1 MB of one character in linear time, or an error.
TEST(TokenizerJson, NormalizersAreLinear) {
  const auto chain = [](const std::string& step, int times) {
    std::string steps;
    for (int i = 0; i < times; ++i) steps += (i ? "," : "") + step;
    return R"({"type":"Sequence","normalizers":[)" + steps + "]}";
  };
  const std::string replace = R"({"type":"Replace","pattern":{"String":"a"},"content":")";
  const std::string regex = R"({"type":"Replace","pattern":{"Regex":"a|$"},"content":"aa"})";
  struct Row {
    std::string normalizer;
    bool ends_in_error;
  };
  for (const Row& row : {Row{R"({"type":"NFC"})", false},
                         {R"({"type":"NFD"})", false},
                         {R"({"type":"NFKC"})", false},
                         {R"({"type":"NFKD"})", false},
                         {R"({"type":"Lowercase"})", false},
                         {R"({"type":"Strip","strip_left":true,"strip_right":true})", false},
                         {R"({"type":"Prepend","prepend":"a"})", false},
                         {replace + "b\"}", false},
                         {replace + "aa\"}", false},
                         {chain(R"({"type":"NFKC"})", 64), false},
                         {chain(R"({"type":"NFKC"})", 65), true},
                         {chain(replace + "aa\"}", 40), true},
                         {chain(regex, 40), true},
                         {replace + std::string(257, 'a') + "\"}", true}}) {
    SCOPED_TRACE(row.normalizer.substr(0, 100));
    const double start = cpu_seconds();
    bool error_seen = false;
    try {
      const auto tokenizer = Tokenizer::create(parse_tokenizer_json(
          json_of(std::string(kByteLevel) + ",\"normalizer\":" + row.normalizer), "tokenizer.json"));
      for (const std::string_view unit : {"a", " ", "\u0301\u0323", "\ufdfa"}) {
        std::string text;
        while (text.size() < (row.normalizer.size() > 1000 ? 1u << 14 : 1u << 20)) text += unit;
        tokenizer->encode(text);
      }
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
      error_seen = true;
    }
    EXPECT_EQ(error_seen, row.ends_in_error);
    EXPECT_LT(cpu_seconds() - start, 60);
  }
}

// A pattern that is slow on every short part of a long text: the parts share one deadline.
TEST(TokenizerJson, HostilePatternEndsOverManyParts) {
  const auto tokenizer = Tokenizer::create(parse_tokenizer_json(
      json_of(
          R"(,"added_tokens":[{"content":"<|x|>","id":0,"special":true}],)"
          R"("pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(a+)+[bc]"},)"
          R"("behavior":"Isolated"},{"type":"ByteLevel","use_regex":false,"add_prefix_space":false}]})"),
      "tokenizer.json"));
  std::string text;
  while (text.size() < 100'000) text += std::string(17, 'a') + "<|x|>";
  const double start = cpu_seconds();
  try {
    tokenizer->encode(text, true);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
  EXPECT_LT(cpu_seconds() - start, 30);
}

TEST(SentencePieceModel, FixturesReadAndEqualTheirGgufForm) {
  const auto tokenizer = Tokenizer::create(read_sentencepiece_model(fixture_path("bpe.model")));
  const auto gguf = Tokenizer::create(tokenizer_spec_from_gguf(sentencepiece_fixture_as_gguf()));
  EXPECT_EQ(tokenizer->vocab_size(), 2000);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->eos_id(), 2);
  EXPECT_TRUE(tokenizer->add_bos());
  for (const std::string text :
       {"Once upon a time there lived a king.", "  two  spaces ", "", "\u4e2d 42\n", "<|im_start|>"}) {
    const auto ids = tokenizer->encode(text);
    EXPECT_EQ(ids, gguf->encode(text)) << text;
    EXPECT_EQ(tokenizer->encode(text, true), gguf->encode(text, true)) << text;
    EXPECT_EQ(tokenizer->decode(ids), text);
  }
  const int32_t start = tokenizer->token_to_id("<|im_start|>");
  EXPECT_THAT(tokenizer->encode("<|im_start|>", true), testing::ElementsAre(start));
  EXPECT_THAT(tokenizer->encode("<|im_start|>"), testing::Not(testing::Contains(start)));
}

TEST(SentencePieceModel, EveryCutIsAnErrorOrAModel) {
  const std::string bytes = read_fixture("unigram.model");
  ASSERT_GT(bytes.size(), 20000u);
  int num_errors = 0;
  for (size_t size = 0; size < bytes.size(); size += size < 4096 ? 1 : 509) {
    try {
      parse_sentencepiece_model(std::string_view(bytes).substr(0, size), "cut.model");
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
      ++num_errors;
    }
  }
  EXPECT_GT(num_errors, 3500);  // the few whole prefixes are models with fewer pieces
}

class FolderTest : public testing::Test {
 protected:
  FolderTest() {
    std::string name = std::filesystem::temp_directory_path() / "turgo_tokenizer_XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~FolderTest() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
  }
  std::string folder_;
};

TEST_F(FolderTest, SentencePieceWithConfiguration) {
  EXPECT_FALSE(has_tokenizer(folder_));
  EXPECT_THROW(read_tokenizer_folder(folder_), Error);
  std::string model = read_fixture("bpe.model");
  write("tokenizer.model", model);
  write("tokenizer_config.json",
        R"({"add_bos_token":false,"add_eos_token":true,"eos_token":{"content":"<|im_end|>"},
    "added_tokens_decoder":{"3":{"content":"<|im_start|>","special":true},"4":{"content":"<|im_end|>","special":true},
                            "2000":{"content":"<tool>","special":false},"2003":{"content":"<|plugin|>","special":true}}})");
  EXPECT_TRUE(has_tokenizer(folder_));
  const auto tokenizer = Tokenizer::create(read_tokenizer_folder(folder_));
  EXPECT_EQ(tokenizer->vocab_size(), 2004);
  EXPECT_EQ(tokenizer->eos_id(), tokenizer->token_to_id("<|im_end|>"));
  EXPECT_FALSE(tokenizer->add_bos());
  EXPECT_TRUE(tokenizer->add_eos());
  EXPECT_THAT(tokenizer->encode("<|plugin|><|im_end|>", true),
              testing::ElementsAre(2003, tokenizer->eos_id()));
  EXPECT_TRUE(tokenizer->is_special(2003));
  EXPECT_EQ(tokenizer->id_to_token(2001), "");

  for (const char* config : {R"({"added_tokens_decoder":{"x":{"content":"a"}}})",
                             R"({"added_tokens_decoder":{"5":{}}})", R"({"added_tokens_decoder":{"5":7}})",
                             R"({"added_tokens_decoder":{"99999999":{"content":"a"}}})", "[]", "{"}) {
    write("tokenizer_config.json", config);
    EXPECT_THROW(read_tokenizer_folder(folder_), Error) << config;
  }
}

TEST_F(FolderTest, TokenizerJsonWithConfiguration) {
  write("tokenizer.json",
        json_of(std::string(kByteLevel) + R"(,"added_tokens":[{"id":4,"content":"<s>","special":true}])"));
  write("tokenizer_config.json",
        R"({"bos_token":"<s>","eos_token":"absent","add_bos_token":true,"pad_token":null})");
  const auto tokenizer = Tokenizer::create(read_tokenizer_folder(folder_));
  EXPECT_EQ(tokenizer->bos_id(), 4);
  EXPECT_EQ(tokenizer->eos_id(), -1);
  EXPECT_TRUE(tokenizer->add_bos());
}

}  // namespace
}  // namespace turgo
