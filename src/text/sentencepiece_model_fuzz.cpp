// Any bytes as tokenizer.model: an Error or a tokenizer that encodes and decodes. Corpus:
// tests/fuzz/sentencepiece_model.
#include <cstdint>

#include "core/error.h"
#include "text/sentencepiece_model.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (1u << 20)) return 0;
  try {
    const auto tokenizer = turgo::Tokenizer::create(
        turgo::parse_sentencepiece_model({reinterpret_cast<const char*>(data), size}, "tokenizer.model"));
    for (const char* text : {"", "  Hello  world's 123\n\n\u4e2d\u6587e\u0301\uff21 <s></s>\xff\xe4\xb8 ",
                             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"})
      for (const bool special : {false, true}) tokenizer->decode(tokenizer->encode(text, special));
  } catch (const turgo::Error&) {
    return 0;  // refused: what a hostile input should get
  }
  return 0;
}
