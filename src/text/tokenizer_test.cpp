// Small vocabularies written by hand; equality with the reference programs is
// tests/e2e/test_tokenizer_oracle.py's.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "text/byte_level.h"
#include "text/detokenizer.h"
#include "text/gguf_vocab.h"
#include "text/utf8.h"

namespace turgo {
namespace {

using testing::ElementsAre;

// All 256 bytes (id = byte), then "he", "ll", "llo", "hello", "<|im_end|>" (control), "  " (user-defined).
GgufVocab byte_level_vocab() {
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) {
    std::string piece;
    append_utf8(piece, byte_to_char(static_cast<uint8_t>(byte)));
    vocab.tokens.push_back(piece);
  }
  for (const char* piece : {"he", "ll", "llo", "hello", "<|im_end|>", "  "}) vocab.tokens.push_back(piece);
  vocab.token_types.assign(vocab.tokens.size(), 1);
  vocab.token_types[260] = 3;
  vocab.token_types[261] = 4;
  vocab.merges = {"h e", "l l", "ll o", "he llo"};
  vocab.eos_id = 260;
  return vocab;
}

std::shared_ptr<const Tokenizer> byte_level() {
  return Tokenizer::create(tokenizer_spec_from_gguf(byte_level_vocab()));
}

TEST(ByteLevelBpe, MergesByRankAndDecodes) {
  const auto tokenizer = byte_level();
  EXPECT_THAT(tokenizer->encode("hello"), ElementsAre(259));
  EXPECT_THAT(tokenizer->encode("help llo"), ElementsAre(256, 'l', 'p', ' ', 258));
  for (const std::string text : {"hello", "", "a\u4e2d\u6587 \U0001f600!", "\n\n \t x"})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  EXPECT_EQ(tokenizer->vocab_size(), 262);
  EXPECT_EQ(tokenizer->token_to_id("hello"), 259);
  EXPECT_EQ(tokenizer->token_to_id("absent"), -1);
  EXPECT_EQ(tokenizer->id_to_token(259), "hello");
  EXPECT_EQ(tokenizer->id_to_token(-1), "");
  EXPECT_EQ(tokenizer->id_to_token(262), "");
  EXPECT_TRUE(tokenizer->is_special(260));
  EXPECT_FALSE(tokenizer->is_special(259));
}

TEST(ByteLevelBpe, LongWordsEqualShortOnes) {
  const auto tokenizer = byte_level();
  std::string text;
  std::vector<int32_t> expected;
  for (int i = 0; i < 1000; ++i) {
    text += "hello";
    expected.push_back(259);
  }
  EXPECT_EQ(tokenizer->encode(text), expected);
}

TEST(ByteLevelBpe, ControlTokensOnlyWhereTheyMay) {
  const auto tokenizer = byte_level();
  const std::string text = "h<|im_end|>";
  EXPECT_THAT(tokenizer->encode(text, true), ElementsAre('h', 260));
  const auto plain = tokenizer->encode(text, false);
  EXPECT_THAT(plain, testing::Not(testing::Contains(260)));
  EXPECT_EQ(tokenizer->decode(plain), text);

  MarkedText marked{text, {}};
  EXPECT_THAT(tokenizer->encode(marked), ElementsAre('h', 260));
  for (size_t begin = 0; begin < text.size(); ++begin)
    for (size_t end = begin + 1; end <= text.size(); ++end) {
      marked.input = {{begin, end}};
      EXPECT_EQ(tokenizer->encode(marked) == plain, end > 1) << begin << " " << end;
    }
  marked = {"<|im_end|><|im_end|>\xff<|im_end|>", {{10, 21}}};
  EXPECT_THAT(tokenizer->encode(marked),
              testing::AllOf(testing::SizeIs(1 + 10 + 3 + 1), testing::Contains(260)));
  EXPECT_EQ(tokenizer->encode(marked).front(), 260);
  EXPECT_EQ(tokenizer->encode(marked).back(), 260);
}

TEST(ByteLevelBpe, UserDefinedTokensAreText) {
  const auto tokenizer = byte_level();
  EXPECT_THAT(tokenizer->encode("h   h"), ElementsAre('h', 261, ' ', 'h'));
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{260, 'h', 261}), "h  ");
  EXPECT_EQ(tokenizer->decode(std::vector<int32_t>{260, 'h'}, false), "<|im_end|>h");
}

TEST(ByteLevelBpe, IllFormedTextIsReplaced) {
  const auto tokenizer = byte_level();
  for (const std::string text : {"\xff", "a\xe4\xb8", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80"})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), repair_utf8(text));
}

TEST(Detokenizer, NeverBreaksCharacters) {
  const auto tokenizer = byte_level();
  const std::string text = "h\u00e9llo \u4e2d\u6587 \U0001f600 end";
  Detokenizer detokenizer(tokenizer);
  std::string all;
  for (const int32_t id : tokenizer->encode(text)) {
    const std::string part = detokenizer.add(id);
    EXPECT_TRUE(is_valid_utf8(part));
    all += part;
  }
  EXPECT_EQ(all + detokenizer.flush(), text);

  // Broken bytes: the same replacement whether they come one by one or together.
  for (const std::string broken :
       {"a\xe4\xb8", "\xe4\xb8z", "\xf0\x9f\x98\xf0\x9f\x98\x80", "\xff\xfe", "\xed\xa0\x80q"}) {
    Detokenizer stream(tokenizer);
    std::string out;
    for (const char c : broken) out += stream.add(static_cast<uint8_t>(c));
    EXPECT_EQ(out + stream.flush(), repair_utf8(broken));
  }
  Detokenizer unknown(tokenizer);
  EXPECT_EQ(unknown.add(-1) + unknown.add(1 << 30) + unknown.flush(), "");
}

GgufVocab sentencepiece_vocab() {
  GgufVocab vocab;
  vocab.model = "llama";
  vocab.tokens = {"<unk>", "<s>", "</s>"};
  vocab.token_types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    vocab.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    vocab.token_types.push_back(6);
  }
  for (const char* piece : {"\u2581", "a", "b", "ab", "\u2581ab"}) {
    vocab.tokens.push_back(piece);
    vocab.token_types.push_back(1);
  }
  vocab.scores.assign(vocab.tokens.size(), 0.0f);
  vocab.scores[262] = -1;
  vocab.scores[263] = -2;
  vocab.unk_id = 0;
  vocab.bos_id = 1;
  vocab.eos_id = 2;
  return vocab;
}

TEST(SentencePieceBpe, PrefixFallbackAndDecode) {
  const auto tokenizer = Tokenizer::create(tokenizer_spec_from_gguf(sentencepiece_vocab()));
  EXPECT_THAT(tokenizer->encode("ab"), ElementsAre(263));
  EXPECT_THAT(tokenizer->encode("ab \u00e9"), ElementsAre(263, 259, 3 + 0xc3, 3 + 0xa9));
  EXPECT_THAT(tokenizer->encode("</s>", true), ElementsAre(2));
  EXPECT_THAT(tokenizer->encode("</s>", false), testing::Not(testing::Contains(2)));
  EXPECT_TRUE(tokenizer->add_bos());
  for (const std::string text : {"ab", " ab", "  b", "\u4e2d a", "<s>"})
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text);
  Detokenizer detokenizer(tokenizer);
  EXPECT_EQ(detokenizer.add(263), "ab");
  EXPECT_EQ(detokenizer.add(263), " ab");
  EXPECT_EQ(detokenizer.add(3 + 0xc3), "");
  EXPECT_EQ(detokenizer.add(3 + 0xa9), "\u00e9");
}

template <class Change>
ErrorCode error_of(GgufVocab vocab, Change change) {
  change(vocab);
  try {
    Tokenizer::create(tokenizer_spec_from_gguf(std::move(vocab)));
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kIo;
}

TEST(GgufVocab, HostileFilesAreErrors) {
  const auto corrupt = [](auto change) {
    EXPECT_EQ(error_of(byte_level_vocab(), change), ErrorCode::kCorrupt);
  };
  corrupt([](GgufVocab& v) { v.tokens.clear(); });
  corrupt([](GgufVocab& v) { v.merges.clear(); });
  corrupt([](GgufVocab& v) { v.merges.push_back("he absent"); });
  corrupt([](GgufVocab& v) { v.merges.push_back("hello"); });
  corrupt([](GgufVocab& v) { v.merges.push_back(""); });
  corrupt([](GgufVocab& v) { v.eos_id = 262; });
  corrupt([](GgufVocab& v) { v.bos_id = -2; });
  corrupt([](GgufVocab& v) { v.token_types.pop_back(); });
  corrupt([](GgufVocab& v) { v.token_types[3] = 7; });
  corrupt([](GgufVocab& v) { v.scores = {1.0f}; });
  corrupt([](GgufVocab& v) {
    v.token_types[5] = 6;
    v.tokens[5] = "<0x-1>";
  });
  EXPECT_EQ(error_of(byte_level_vocab(), [](GgufVocab& v) { v.pre = "absent"; }), ErrorCode::kUnsupported);
  EXPECT_EQ(error_of(byte_level_vocab(), [](GgufVocab& v) { v.model = "absent"; }), ErrorCode::kUnsupported);
  EXPECT_EQ(error_of(sentencepiece_vocab(), [](GgufVocab& v) { v.scores.clear(); }), ErrorCode::kCorrupt);
  EXPECT_EQ(error_of(sentencepiece_vocab(), [](GgufVocab& v) { v.scores[3] = NAN; }), ErrorCode::kCorrupt);
  EXPECT_EQ(error_of(sentencepiece_vocab(), [](GgufVocab& v) { v.tokens.back() = "a"; }),
            ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace turgo
