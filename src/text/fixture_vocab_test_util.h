// Vocabularies for tests and benchmarks, out of tests/fixtures/tokenizers/bpe.model (2,000 pieces of
// English).
#pragma once

#include <algorithm>
#include <fstream>
#include <iterator>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "text/byte_level.h"
#include "text/gguf_vocab.h"
#include "text/sentencepiece_model.h"
#include "text/utf8.h"

namespace turgo {

inline std::string fixture_path(const std::string& name) {
  return std::string(TURGO_SOURCE_DIR) + "/tests/fixtures/tokenizers/" + name;
}

inline std::string read_fixture(const std::string& name) {
  std::ifstream in(fixture_path(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// The same pieces as GGUF files carry them.
inline GgufVocab sentencepiece_fixture_as_gguf() {
  const TokenizerSpec spec = read_sentencepiece_model(fixture_path("bpe.model"));
  GgufVocab vocab;
  vocab.model = "llama";
  for (const Piece& piece : spec.pieces) {
    vocab.tokens.push_back(piece.text);
    vocab.scores.push_back(static_cast<float>(piece.score));
    vocab.token_types.push_back(static_cast<int32_t>(piece.type));
  }
  vocab.bos_id = spec.bos_id;
  vocab.eos_id = spec.eos_id;
  return vocab;
}

// A byte-level BPE with the fixture's words: 256 bytes, then its pieces that two earlier ones make, in order
// of score.
inline GgufVocab byte_level_fixture(const std::string& pre) {
  TokenizerSpec spec = read_sentencepiece_model(fixture_path("bpe.model"));
  std::sort(spec.pieces.begin(), spec.pieces.end(), [](const Piece& x, const Piece& y) {
    return x.score != y.score ? x.score > y.score : x.text < y.text;
  });
  GgufVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = pre;
  std::set<std::string> known;
  for (int byte = 0; byte < 256; ++byte) {
    std::string text;
    append_utf8(text, byte_to_char(static_cast<uint8_t>(byte)));
    vocab.tokens.push_back(text);
    known.insert(text);
  }
  for (const Piece& piece : spec.pieces) {
    if (piece.type != PieceType::kNormal) continue;
    std::string text;
    for (size_t i = 0; i < piece.text.size();) {
      const bool space = piece.text.compare(i, 3, "\u2581") == 0;
      append_utf8(text, space ? 0x120 : byte_to_char(static_cast<uint8_t>(piece.text[i])));
      i += space ? 3 : 1;
    }
    for (size_t cut = 1; cut < text.size() && !known.contains(text); ++cut) {
      if (!known.contains(text.substr(0, cut)) || !known.contains(text.substr(cut))) continue;
      vocab.tokens.push_back(text);
      vocab.merges.push_back(text.substr(0, cut) + " " + text.substr(cut));
      known.insert(text);
    }
  }
  return vocab;
}

}  // namespace turgo
