// Byte pair encoding by merge rank (GPT-2, Llama 3, Qwen; over characters with byte fallback: Gemma, Llama 2
// as tokenizer.json). The lowest rank is merged first, of equal ranks the leftmost. Short words use arrays;
// long ones a linked list with a heap, O(n log n), after being cut wherever no merge can reach across.
#include <bitset>
#include <memory>

#include "text/byte_level.h"
#include "text/piece_table.h"
#include "text/subword_model.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr size_t kShortWord =
    48;  // symbols; the quadratic array code is faster below (measured crossover 40–80)

class MergeBpe final : public SubwordModel {
 public:
  explicit MergeBpe(const TokenizerSpec& spec)
      : byte_level_(spec.byte_level), ignore_merges_(spec.ignore_merges) {
    spellings_.resize(spec.pieces.size());
    table_.reserve(spec.pieces.size());
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      const Piece& piece = spec.pieces[id];
      if (piece.type == PieceType::kControl || piece.type == PieceType::kUnknown) continue;
      if (byte_level_) {
        if (!bytes_of_piece(piece.text, spellings_[id])) spellings_[id].clear();
      } else {
        spellings_[id] = piece.text;
      }
      if (!spellings_[id].empty()) table_.insert(spellings_[id], static_cast<int32_t>(id));
    }
    for (size_t byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      first_ids_[byte] = table_.find({&c, 1});
    }
    unknown_.byte_fallback = spec.byte_fallback;
    unknown_.fuse = spec.fuse_unk;
    unknown_.unk_id = spec.unk_id;
    unknown_.byte_ids = byte_piece_ids(spec);
    add_merges(spec);
  }

  void encode(std::string_view word, Scratch& scratch, std::vector<int32_t>& out) const override {
    if (ignore_merges_) {
      if (const int32_t id = table_.find(word); id >= 0) {
        out.push_back(id);
        return;
      }
    }
    bool after_unknown = false;
    for (size_t begin = 0; begin < word.size();) {
      size_t end = word.size();
      if (word.size() > kShortWord && can_cut_) {
        for (end = begin + 1; end < word.size(); ++end)
          if (!joins_[pair_of(word[end - 1], word[end])] && is_boundary(word[end])) break;
      }
      encode_part(word.substr(begin, end - begin), scratch, after_unknown, out);
      begin = end;
    }
  }

 private:
  static size_t pair_of(char a, char b) {
    return size_t{static_cast<uint8_t>(a)} << 8 | static_cast<uint8_t>(b);
  }
  bool is_boundary(char c) const { return byte_level_ || (static_cast<uint8_t>(c) & 0xc0) != 0x80; }

  void add_merges(const TokenizerSpec& spec) {
    merges_.reserve(spec.merges.size());
    for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
      const Merge& merge = spec.merges[rank];
      const auto id = static_cast<size_t>(merge.result);
      const PieceType type = spec.pieces[id].type;
      if (type == PieceType::kControl) continue;  // text must not become a control token by merging
      merges_.insert(merge.left, merge.right, {static_cast<int32_t>(rank), merge.result});
      for (size_t i = 1; i < spellings_[id].size(); ++i)
        joins_.set(pair_of(spellings_[id][i - 1], spellings_[id][i]));
      // A merge of byte pieces joins bytes that its spelling does not show.
      for (const int32_t part : {merge.left, merge.right})
        if (!byte_level_ && parse_byte_piece(spec.pieces[static_cast<size_t>(part)].text) >= 0)
          can_cut_ = false;
    }
  }

  // Initial symbols of `part` into scratch.ids.
  void split(std::string_view part, Scratch& scratch, bool& after_unknown) const {
    scratch.ids.clear();
    if (byte_level_) {
      for (const char c : part) {
        const int32_t id = first_ids_[static_cast<uint8_t>(c)];
        if (id >= 0) {
          scratch.ids.push_back(id);
          after_unknown = false;
        } else {
          unknown_.append({&c, 1}, after_unknown, scratch.ids);
        }
      }
      return;
    }
    for (size_t i = 0; i < part.size();) {
      const Utf8Char c = decode_utf8(part.substr(i));
      const int32_t id =
          c.size == 1 ? first_ids_[static_cast<uint8_t>(part[i])] : table_.find(part.substr(i, c.size));
      if (id >= 0) {
        scratch.ids.push_back(id);
        after_unknown = false;
      } else {
        unknown_.append(part.substr(i, c.size), after_unknown, scratch.ids);
      }
      i += c.size;
    }
  }

  void encode_part(std::string_view part, Scratch& scratch, bool& after_unknown,
                   std::vector<int32_t>& out) const {
    split(part, scratch, after_unknown);
    if (scratch.ids.size() <= kShortWord)
      merge_short(scratch);
    else
      merge_long(scratch);
    out.insert(out.end(), scratch.ids.begin(), scratch.ids.end());
  }

  void merge_short(Scratch& scratch) const {
    constexpr int32_t kNone = INT32_MAX;
    int32_t ranks[kShortWord + 1], results[kShortWord + 1];
    std::vector<int32_t>& ids = scratch.ids;
    const auto look_up = [&](size_t i) {
      const PairTable::Value value = merges_.find(ids[i], ids[i + 1]);
      ranks[i] = value.rank < 0 ? kNone : value.rank;
      results[i] = value.result;
    };
    size_t size = ids.size();
    for (size_t i = 0; i + 1 < size; ++i) look_up(i);
    while (size > 1) {
      size_t best = 0;
      for (size_t i = 1; i + 1 < size; ++i)
        if (ranks[i] < ranks[best]) best = i;
      if (ranks[best] == kNone) break;
      ids[best] = results[best];
      for (size_t i = best + 1; i + 1 < size; ++i) {
        ids[i] = ids[i + 1];
        ranks[i] = ranks[i + 1];
        results[i] = results[i + 1];
      }
      --size;
      if (best > 0) look_up(best - 1);
      if (best + 1 < size) look_up(best);
    }
    ids.resize(size);
  }

  void merge_long(Scratch& scratch) const {
    auto& symbols = scratch.symbols;
    auto& queue = scratch.queue;
    const auto n = static_cast<int32_t>(scratch.ids.size());
    symbols.resize(scratch.ids.size());
    const auto at = [&](int32_t i) -> Scratch::Symbol& { return symbols[static_cast<size_t>(i)]; };
    const auto look_up = [&](int32_t i) {
      Scratch::Symbol& s = at(i);
      s.rank = -1;
      if (s.next < 0) return;
      const PairTable::Value value = merges_.find(s.id, at(s.next).id);
      s.rank = value.rank;
      s.result = value.result;
      if (value.rank >= 0)
        queue.push(uint64_t{static_cast<uint32_t>(value.rank)} << 32 | static_cast<uint32_t>(i));
    };
    for (int32_t i = 0; i < n; ++i) {
      Scratch::Symbol& s = at(i);
      s = {};
      s.id = scratch.ids[static_cast<size_t>(i)];
      s.prev = i - 1;
      s.next = i + 1 < n ? i + 1 : -1;
    }
    for (int32_t i = 0; i < n; ++i) look_up(i);
    while (!queue.empty()) {
      const uint64_t top = queue.top();
      queue.pop();
      const auto i = static_cast<int32_t>(top & 0xffffffff);
      Scratch::Symbol& s = at(i);
      if (s.rank < 0 || static_cast<uint32_t>(s.rank) != top >> 32) continue;  // the pair has changed since
      Scratch::Symbol& right = at(s.next);
      s.id = s.result;
      s.next = right.next;
      right.rank = -1;
      if (s.next >= 0) at(s.next).prev = i;
      look_up(i);
      if (s.prev >= 0) look_up(s.prev);
    }
    scratch.ids.clear();
    for (int32_t i = 0; i >= 0; i = at(i).next) scratch.ids.push_back(at(i).id);
  }

  bool byte_level_, ignore_merges_, can_cut_ = true;
  std::vector<std::string> spellings_;  // bytes of each piece that text may become; "" for the others
  PieceTable table_;
  int32_t first_ids_[256];
  PairTable merges_;
  std::bitset<65536> joins_;  // byte pairs that occur inside the result of a merge
  UnknownRule unknown_;
};

}  // namespace

std::unique_ptr<SubwordModel> make_merge_bpe(const TokenizerSpec& spec) {
  return std::make_unique<MergeBpe>(spec);
}

}  // namespace turgo
