// tokenizer.json, parsed: the two big parts (model.vocab, model.merges) as lists, the rest as a small DOM.
// One SAX pass: a DOM of 260,000 vocabulary entries would cost seconds (an ordered object looks through all
// keys at each insertion).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"

namespace turgo {

struct TokenizerJsonDocument {
  struct VocabEntry {
    std::string text;
    int64_t id;
    double score;
  };
  std::vector<VocabEntry> vocab;
  bool vocab_is_list = false;  // Unigram: [[text, score], …], the id is the place
  bool has_vocab = false, has_merges = false;
  std::vector<std::pair<std::string, std::string>> merges;
  Json rest;  // without model.vocab and model.merges
};

// Throws Error{kCorrupt}: not JSON, nested deeper than 64 levels, lists of other shapes, more than 2^24
// entries, more than 2^20 other values.
TokenizerJsonDocument parse_tokenizer_json_document(std::string_view text, const std::string& name);

}  // namespace turgo
