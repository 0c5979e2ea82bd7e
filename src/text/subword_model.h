// One word (or, without pre-tokenizer, one stretch of text) -> ids. Three algorithms behind one interface.
// The input is valid UTF-8 and already normalised. No model ever returns the id of a control piece.
#pragma once

#include <cstdint>
#include <memory>
#include <queue>
#include <string_view>
#include <vector>

#include "text/tokenizer_spec.h"

namespace turgo {

class SubwordModel {
 public:
  // Working memory that a caller keeps over many words; one per thread.
  struct Scratch {
    struct Symbol {
      int32_t id;            // -1: unknown character
      int32_t prev, next;    // neighbours, -1 at the ends
      int32_t rank;          // of the merge with `next`; -1 none
      int32_t result;        // what that merge gives
      uint32_t begin, size;  // bytes of the text; size 0: merged away
      bool frozen;
    };
    std::vector<Symbol> symbols;
    std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<uint64_t>>
        queue;  // rank << 32 | position
    std::vector<int32_t> ids, ranks, results;
    std::vector<float> best_float;
    std::vector<double> best_double;
    std::vector<uint32_t> starts;
  };

  virtual ~SubwordModel() = default;
  // Appends. word.size() < 2^31.
  virtual void encode(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const = 0;
};

// `spec` must be valid (validate_spec) and outlive the model.
std::unique_ptr<SubwordModel> make_merge_bpe(const TokenizerSpec& spec);
std::unique_ptr<SubwordModel> make_sentencepiece_bpe(const TokenizerSpec& spec);
std::unique_ptr<SubwordModel> make_unigram(const TokenizerSpec& spec);

// Ids of the 256 byte pieces "<0x00>"…, -1 where missing.
std::vector<int32_t> byte_piece_ids(const TokenizerSpec& spec);

// Appends what stands for a character without a piece: byte pieces if all are there and byte_fallback, else
// unk_id (one for a run of unknown characters if `fuse`), else nothing.
struct UnknownRule {
  bool byte_fallback = false, fuse = false;
  int32_t unk_id = -1;
  std::vector<int32_t> byte_ids;
  // `after_unknown`: the last thing appended for this word was an unknown piece; updated.
  void append(std::string_view character, bool& after_unknown, std::vector<int32_t>& out) const;
};

}  // namespace turgo
