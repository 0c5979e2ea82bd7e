// The parts of a tokenizer one by one: UTF-8, tables, tries, scanners, normal forms, patterns; and that one
// megabyte of one character takes no quadratic time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/cpu_time_test_util.h"
#include "core/error.h"
#include "text/added_tokens.h"
#include "text/base64.h"
#include "text/byte_level.h"
#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/fixture_vocab_test_util.h"
#include "text/piece_table.h"
#include "text/pre_tokenizer_scan.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace turgo {
namespace {

TEST(Utf8, EveryCharacterAndEveryBrokenPair) {
  for (uint32_t code = 0; code < 0x110000; ++code) {
    if (code >= 0xd800 && code < 0xe000) continue;
    std::string text;
    append_utf8(text, code);
    const Utf8Char c = decode_utf8(text);
    ASSERT_TRUE(c.valid && c.code == code && c.size == text.size()) << code;
    ASSERT_EQ(incomplete_utf8_tail(text), 0u);
    for (size_t cut = 1; cut < text.size(); ++cut)
      ASSERT_EQ(incomplete_utf8_tail(text.substr(0, cut)), cut) << code;
  }
  EXPECT_EQ(repair_utf8("a\xf0\x9f\x98z"), "a\ufffdz");
  EXPECT_EQ(repair_utf8("a\xf0\x9f\x98z", true), "a\ufffd\ufffd\ufffdz");
  for (const char* bad : {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xff"})
    EXPECT_FALSE(is_valid_utf8(std::string("12345678") + bad));
}

TEST(ByteLevel, IsABijection) {
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(char_to_byte(byte_to_char(static_cast<uint8_t>(byte))), byte);
  EXPECT_EQ(byte_to_char(' '), 0x120u);
  EXPECT_EQ(char_to_byte(0xad), -1);
  EXPECT_EQ(char_to_byte(0x144), -1);
}

TEST(PieceTable, FindsWhatWasInserted) {
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i)
    texts.push_back(std::string(static_cast<size_t>(i % 20), 'x') + std::to_string(i));
  PieceTable table;
  table.reserve(texts.size());
  for (int32_t i = 0; i < 5000; ++i) EXPECT_TRUE(table.insert(texts[static_cast<size_t>(i)], i));
  for (int32_t i = 0; i < 5000; ++i) EXPECT_EQ(table.find(texts[static_cast<size_t>(i)]), i);
  EXPECT_FALSE(table.insert(texts[7], 1));
  EXPECT_EQ(table.find("absent"), -1);
  EXPECT_EQ(PieceTable().find("x"), -1);
}

TEST(ByteTrie, LongestPrefix) {
  const ByteTrie trie({{"a", 1}, {"abc", 2}, {"b", 3}, {"", 4}, {"abc", 5}});
  EXPECT_EQ(trie.longest_prefix("abcd").value, 2);
  EXPECT_EQ(trie.longest_prefix("abd").size, 1u);
  EXPECT_EQ(trie.longest_prefix("c").size, 0u);
  EXPECT_EQ(ByteTrie().longest_prefix("a").size, 0u);
}

TEST(AddedTokens, StripsAndWords) {
  AddedToken left, word, control;
  left.lstrip = left.rstrip = true;
  word.single_word = true;
  control.control = true;
  const AddedTokens tokens({{"<l>", &left}, {"word", &word}, {"<c>", &control}, {"<c", &left}});
  auto hits = tokens.find("a \n<l>\t b", true, {});
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(hits[0].begin, 1u);
  EXPECT_EQ(hits[0].end, 8u);
  EXPECT_EQ(tokens.find("sword words word", true, {}).size(), 1u);
  EXPECT_EQ(tokens.find("<c>", true, {})[0].token, &control);
  EXPECT_EQ(tokens.find("<c>", false, {})[0].token, &left);  // the longest that may be matched
  const MarkedText::Range range{2, 3};
  EXPECT_EQ(tokens.find("<c>", true, {&range, 1})[0].token, &left);
}

std::vector<std::string> words(std::string_view text, size_t (*scan)(std::string_view)) {
  std::vector<std::string> out;
  while (!text.empty()) {
    const size_t size = scan(text);
    out.emplace_back(text.substr(0, size));
    text.remove_prefix(size);
  }
  return out;
}

TEST(Scanners, PublishedExamples) {
  using testing::ElementsAre;
  EXPECT_THAT(words("I'm  here,\n\n 12 ", scan_gpt2),
              ElementsAre("I", "'m", " ", " here", ",", "\n\n", " 12", " "));
  const auto llama3 = [](std::string_view text) { return scan_llama3(text, 3); };
  EXPECT_THAT(words("I'LL (pay) 12345 \n x", llama3),
              ElementsAre("I", "'LL", " (", "pay", ")", " ", "123", "45", " \n", " x"));
  EXPECT_THAT(words("a!!\n\nb\t c", llama3), ElementsAre("a", "!!\n\n", "b", "\t", " c"));
}

TEST(Regex, OnigurumasMeaning) {
  const auto matches = [](const std::string& pattern, const std::string& text) {
    const Regex regex(pattern, "test");
    Regex::Scratch scratch(regex, text.size());
    size_t begin = 0, end = 0;
    return regex.find(text, 0, scratch, begin, end) && begin == 0 && end == text.size();
  };
  EXPECT_FALSE(matches(R"(\s)", "\u180e"));  // White_Space no more, but PCRE's \s
  EXPECT_TRUE(matches(R"([\s]+)", " \t\u2003\u3000"));
  EXPECT_TRUE(matches(R"(\p{L})", "\U0002ebf0"));  // CJK extension I, Unicode 15.1
  EXPECT_TRUE(matches(R"([^\p{N}]\p{L}+)", "-\u00e9x"));
  EXPECT_THROW(Regex("[[a]b]", "test"), Error);
  EXPECT_THROW(Regex("(?<", "test"), Error);
  EXPECT_THROW(Regex(R"(\X+)", "test"), Error);  // quadratic within one step
}

// Patterns that take linear, cubic or exponential time at every start of a text: an Error in seconds, or an
// answer.
TEST(Regex, HostilePatternsEnd) {
  std::string lookaheads = "(a{1000})a*";  // cost no step of compiled code
  for (int i = 0; i < 500; ++i) lookaheads += "(?=\\1)";
  lookaheads += "[bc]";
  for (const std::string pattern :
       {"a*[bc]", "(a+)+[bc]", "(a|a)*[bc]", "(?=a*[bc])x", "a*a*a*[bc]", "a*a*a*a*[bc]", ".*.*=[bc]",
        "a.*.*=[bc]", "a+a+=[bc]", "(?:a?){400}[bc]", "(a*a*)\\1[bc]", lookaheads.c_str()})
    for (const size_t bytes : {size_t{2000}, size_t{1} << 20}) {
      const Regex regex(pattern, "test");
      const std::string text(bytes, 'a');
      Regex::Scratch scratch(regex, text.size());
      const double start = cpu_seconds();
      try {
        size_t begin = 0, end = 0;
        EXPECT_FALSE(regex.find(text, 0, scratch, begin, end));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      }
      EXPECT_LT(cpu_seconds() - start, 15)
          << pattern << " on " << bytes;  // its own limit: 1 s and 1 s per MB
    }
}

TEST(Regex, TakesPatternsTooLargeForCallbacks) {
  std::string pattern = "a+b";
  for (int i = 0; i < 2000; ++i) pattern += "|word" + std::to_string(i);
  const Regex regex(pattern, "test");
  const std::string text = std::string(10'000, 'a') + "b";  // more than the window of compiled code
  Regex::Scratch scratch(regex, text.size());
  size_t begin = 0, end = 0;
  ASSERT_TRUE(regex.find(text, 0, scratch, begin, end));
  EXPECT_EQ(end, text.size());

  const Regex hostile("a*a*a*[bc]" + pattern.substr(3), "test");
  const double start = cpu_seconds();
  EXPECT_THROW(hostile.find(std::string(10'000, 'a'), 0, scratch, begin, end), Error);
  EXPECT_LT(cpu_seconds() - start, 15);
}

TEST(Regex, FindsAcrossItsStartWindows) {
  const Regex regex("x\u4e2d|\u00e9+$", "test");
  std::string text;
  for (int i = 0; i < 5000; ++i) text += "\u00e9";  // more than a window; the time grows with the square
  text += "x\u4e2d";
  Regex::Scratch scratch(regex, text.size());
  size_t begin = 0, end = 0;
  ASSERT_TRUE(regex.find(text, 0, scratch, begin, end));
  EXPECT_EQ(begin, text.size() - 4);
  EXPECT_EQ(end, text.size());
}

TEST(Unicode, NormalForms) {
  EXPECT_EQ(normalize_unicode("e\u0301", NormalForm::kNfc), "\u00e9");
  EXPECT_EQ(normalize_unicode("\u00e9", NormalForm::kNfd), "e\u0301");
  EXPECT_EQ(normalize_unicode("\ufb01\u2460", NormalForm::kNfkc), "fi1");
  EXPECT_EQ(normalize_unicode("a\u0301\u0323", NormalForm::kNfd), "a\u0323\u0301");
  EXPECT_EQ(normalize_unicode("\u1112\u1161\u11ab", NormalForm::kNfc), "\ud55c");
}

TEST(Charsmap, BrokenBlobs) {
  for (const std::string_view blob :
       {std::string_view("\1\0\0\0", 4), std::string_view("\xff\xff\xff\x7f", 4),
        std::string_view("\4\0\0\0\0\0\0\0\xff", 9), std::string_view("abc")})
    EXPECT_THROW(Charsmap(blob, "test"), Error);
  EXPECT_TRUE(Charsmap("", "test").empty());
  EXPECT_EQ(Charsmap(std::string_view("\4\0\0\0\xff\xff\xff\xff", 8), "test").longest("abc").size, 0u);
}

TEST(Base64, DecodesAndRefuses) {
  std::string bytes;
  EXPECT_TRUE(decode_base64("AAEC/w==", bytes));
  EXPECT_EQ(bytes, std::string("\0\1\2\xff", 4));
  EXPECT_FALSE(decode_base64("A*", bytes));
}

// Quadratic code needs minutes here (10^12 steps); linear code well under a second, with room for sanitizers.
TEST(OneMegabyte, OfOneCharacterIsLinear) {
  const size_t num_bytes = size_t{1} << (std::getenv("TURGO_SANITIZED") ? 17 : 20);
  std::vector<std::shared_ptr<const Tokenizer>> tokenizers;
  for (const char* pre :
       {"gpt-2", "smollm", "llama-bpe", "glm4", "qwen2", "qwen35", "gpt-4o", "tekken", "seed-coder",
        "bailingmoe", "deepseek-v3", "deepseek-coder", "falcon", "bloom", "viking", "default"})
    tokenizers.push_back(Tokenizer::create(tokenizer_spec_from_gguf(byte_level_fixture(pre))));
  for (const char* model : {"bpe.model", "unigram.model"})
    tokenizers.push_back(Tokenizer::create(read_sentencepiece_model(fixture_path(model))));
  for (const std::string_view unit : {"A", " ", "\n", "1", ".", "'", "\u0301", "\u4e2d", "e\u0301\u0323",
                                      "\u0301\u0323", "<|im_end|>", "\u2581", "a ", "'s", "\r\n"}) {
    std::string text;
    while (text.size() < num_bytes) text += unit;
    for (const auto& tokenizer : tokenizers) {
      const double start = cpu_seconds();
      const auto ids = tokenizer->encode(text, true);
      const auto decoded = tokenizer->decode(ids);
      EXPECT_LT(cpu_seconds() - start, 30) << unit;
    }
  }
}

}  // namespace
}  // namespace turgo
