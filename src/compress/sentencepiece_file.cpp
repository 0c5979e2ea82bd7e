#include "compress/sentencepiece_file.h"

#include <algorithm>
#include <cstring>

namespace turgo {
namespace {

// Protocol Buffers' wire format.
class Message {
 public:
  void add_number(int field, uint64_t value) {
    put(static_cast<uint64_t>(field) << 3);
    put(value);
  }
  void add_bytes(int field, const std::string& bytes) {
    put(static_cast<uint64_t>(field) << 3 | 2);
    put(bytes.size());
    text_ += bytes;
  }
  void add_float(int field, float value) {
    put(static_cast<uint64_t>(field) << 3 | 5);
    char bytes[4];
    std::memcpy(bytes, &value, 4);
    text_.append(bytes, 4);
  }
  const std::string& text() const { return text_; }

 private:
  void put(uint64_t value) {
    for (; value >= 128; value >>= 7) text_ += static_cast<char>(value | 128);
    text_ += static_cast<char>(value);
  }
  std::string text_;
};

constexpr int32_t kUnknown = 2, kByte = 6;  // a piece's type, in GGUF as in SentencePiece

}  // namespace

std::string sentencepiece_file(const GgufVocab& v) {
  Message model;
  for (size_t i = 0; i < v.tokens.size(); ++i) {
    Message piece;
    piece.add_bytes(1, v.tokens[i]);
    piece.add_float(2, i < v.scores.size() ? v.scores[i] : 0);
    int32_t type = i < v.token_types.size() ? v.token_types[i] : 1;
    // Files of some converters call it a control token.
    if (static_cast<int64_t>(i) == v.unk_id) type = kUnknown;
    if (type > 1) piece.add_number(3, static_cast<uint64_t>(type));
    model.add_bytes(1, piece.text());
  }
  Message trainer;
  trainer.add_number(3, v.model == "t5" ? 1 : 2);
  trainer.add_number(4, v.tokens.size());
  if (std::ranges::find(v.token_types, kByte) != v.token_types.end()) trainer.add_number(35, 1);
  struct Special {
    int id_field, piece_field;
    int32_t id;
  };
  for (const Special& s :
       {Special{40, 45, v.unk_id}, {41, 46, v.bos_id}, {42, 47, v.eos_id}, {43, 48, v.pad_id}}) {
    const bool given = s.id >= 0 && static_cast<size_t>(s.id) < v.tokens.size();
    // -1, the number of "none", takes all ten bytes.
    trainer.add_number(s.id_field, given ? static_cast<uint64_t>(s.id) : ~uint64_t{0});
    if (given) trainer.add_bytes(s.piece_field, v.tokens[static_cast<size_t>(s.id)]);
  }
  Message normalizer;
  normalizer.add_bytes(1, "identity");
  if (!v.precompiled_charsmap.empty()) normalizer.add_bytes(2, v.precompiled_charsmap);
  normalizer.add_number(3, v.add_space_prefix.value_or(true) ? 1 : 0);
  normalizer.add_number(4, v.model == "t5" && v.remove_extra_whitespaces.value_or(true) ? 1 : 0);
  normalizer.add_number(5, 1);
  model.add_bytes(2, trainer.text());
  model.add_bytes(3, normalizer.text());
  return model.text();
}

}  // namespace turgo
