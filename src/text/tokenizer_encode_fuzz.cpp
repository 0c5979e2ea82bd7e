// Any bytes as text, through each kind of tokenizer. The first byte marks a part of the rest as a user's.
// Checked: what is decoded is what went in (repaired), streaming equals decoding, and no control token comes
// from a user's bytes. Corpus: tests/fuzz/tokenizer_encode.
#include <algorithm>
#include <cstdint>

#include "core/error.h"
#include "text/byte_level.h"
#include "text/detokenizer.h"
#include "text/gguf_vocab.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

using namespace turgo;

std::shared_ptr<const Tokenizer> byte_level(const char* pre) {
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = pre;
  for (int byte = 0; byte < 256; ++byte) {
    std::string piece;
    append_utf8(piece, byte_to_char(static_cast<uint8_t>(byte)));
    vocab.tokens.push_back(piece);
  }
  vocab.merges = {"a a", "aa aa", "Ġ a", "Ġ Ġ", "Ċ Ċ", "i m", "< |", "ä ¸", "1 1"};
  for (std::string merge : vocab.merges) vocab.tokens.push_back(merge.erase(merge.find(' '), 1));
  vocab.token_types.assign(vocab.tokens.size(), 1);
  vocab.tokens.insert(vocab.tokens.end(), {"<|im_start|>", "<|im_end|>", "   "});
  vocab.token_types.insert(vocab.token_types.end(), {3, 3, 4});
  return Tokenizer::create(tokenizer_spec_from_gguf(std::move(vocab)));
}

std::shared_ptr<const Tokenizer> sentencepiece(const char* model) {
  GgufVocab vocab;
  vocab.model = model;
  vocab.tokens = {"<unk>", "<|im_start|>", "<|im_end|>"};
  vocab.token_types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    vocab.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    vocab.token_types.push_back(6);
  }
  for (const char* piece :
       {"\u2581", "a", "aa", "aaaa", "\u2581a", "\u2581\u2581", "i", "m", "im", "<", "|", "<|", "1"}) {
    vocab.tokens.push_back(piece);
    vocab.token_types.push_back(1);
  }
  for (size_t id = 0; id < vocab.tokens.size(); ++id) vocab.scores.push_back(-static_cast<float>(id % 7));
  vocab.remove_extra_whitespaces = false;
  return Tokenizer::create(tokenizer_spec_from_gguf(std::move(vocab)));
}

void check(const std::shared_ptr<const Tokenizer>& tokenizer, const MarkedText& marked, bool per_byte) {
  const std::string repaired = repair_utf8(marked.text, per_byte);
  const auto plain = tokenizer->encode(marked.text);
  // SentencePiece spells a space as U+2581, so that a text's own U+2581 comes back as a space.
  if (repaired.find("\u2581") == std::string::npos) CHECK(tokenizer->decode(plain) == repaired);
  for (const int32_t id : plain) CHECK(!tokenizer->is_special(id), "control token {} from text", id);
  const auto ids = tokenizer->encode(marked);
  Detokenizer detokenizer(tokenizer, false);
  std::string streamed;
  for (const int32_t id : ids) {
    const std::string part = detokenizer.add(id);
    CHECK(is_valid_utf8(part));
    streamed += part;
  }
  CHECK(streamed + detokenizer.flush() == repair_utf8(tokenizer->decode(ids, false)));
  // No more control tokens than the template's own bytes spell.
  size_t allowed = 0, done = 0;
  std::vector<MarkedText::Range> ranges = marked.input;
  ranges.push_back({marked.text.size(), marked.text.size()});
  for (const auto& range : ranges) {
    const std::string_view own = std::string_view(marked.text).substr(done, range.begin - done);
    for (const char* spelling : {"<|im_", "<unk>"})
      for (size_t at = own.find(spelling); at != std::string_view::npos; at = own.find(spelling, at + 1))
        ++allowed;
    done = range.end;
  }
  const auto found = static_cast<size_t>(
      std::count_if(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer->is_special(id); }));
  CHECK(found <= allowed, "{} control tokens, {} spelled", found, allowed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::shared_ptr<const Tokenizer> kTokenizers[] = {
      byte_level("smollm"), byte_level("llama-bpe"), byte_level("gpt-4o"), sentencepiece("llama"),
      sentencepiece("t5")};
  if (size == 0 || size > (1u << 16)) return 0;
  MarkedText marked{{reinterpret_cast<const char*>(data) + 1, size - 1}, {}};
  const size_t begin = data[0] % 16 * marked.text.size() / 16, end = data[0] / 16 * marked.text.size() / 16;
  if (begin < end) marked.input.push_back({begin, end});
  for (size_t i = 0; i < std::size(kTokenizers); ++i) check(kTokenizers[i], marked, i >= 3);
  return 0;
}
