// SentencePiece's BPE: neighbours merge while their joined text is a piece, the highest score first, of equal
// scores the leftmost. Unused pieces take part in merging but are cut up again in the result; user-defined
// pieces are matched first and never merged. O(n log n): linked list and heap, words cut apart where no piece
// can reach across (not with unused pieces: how they are cut up again depends on the last pair seen in the
// whole text).
#include <algorithm>
#include <bitset>
#include <unordered_map>

#include "text/byte_trie.h"
#include "text/piece_table.h"
#include "text/subword_model.h"
#include "text/utf8.h"

namespace turgo {
namespace {

class SentencePieceBpe final : public SubwordModel {
 public:
  explicit SentencePieceBpe(const TokenizerSpec& spec) : spec_(spec), ranks_(spec.pieces.size(), 0) {
    std::vector<double> scores;
    std::vector<std::pair<std::string_view, int32_t>> user_defined;
    table_.reserve(spec.pieces.size());
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      const Piece& piece = spec.pieces[id];
      if (!is_text(piece.type)) continue;
      table_.insert(piece.text, static_cast<int32_t>(id));
      scores.push_back(piece.score);
      max_piece_bytes_ = std::max(max_piece_bytes_, piece.text.size());
      for (size_t i = 1; i < piece.text.size(); ++i) joins_.set(pair_of(piece.text[i - 1], piece.text[i]));
      if (piece.type == PieceType::kUserDefined)
        user_defined.emplace_back(piece.text, static_cast<int32_t>(id));
      if (piece.type == PieceType::kUnused) has_unused_ = true;
    }
    user_defined_ = ByteTrie(std::move(user_defined));
    std::sort(scores.begin(), scores.end(), std::greater<double>());
    scores.erase(std::unique(scores.begin(), scores.end()), scores.end());
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      const auto place =
          std::lower_bound(scores.begin(), scores.end(), spec.pieces[id].score, std::greater<double>());
      ranks_[id] = static_cast<int32_t>(place - scores.begin());
    }
    unknown_.byte_fallback = spec.byte_fallback;
    unknown_.fuse = spec.fuse_unk;
    unknown_.unk_id = spec.unk_id;
    unknown_.byte_ids = byte_piece_ids(spec);
  }

  void encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& out) const override {
    bool after_unknown = false;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin + 1;
      while (end < text.size() && (has_unused_ || joins_[pair_of(text[end - 1], text[end])] ||
                                   (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80))
        ++end;
      encode_part(text.substr(begin, end - begin), scratch, after_unknown, out);
      begin = end;
    }
  }

 private:
  using Halves = std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>>;

  static bool is_text(PieceType type) {
    return type == PieceType::kNormal || type == PieceType::kUserDefined || type == PieceType::kUnused;
  }
  static size_t pair_of(char a, char b) {
    return size_t{static_cast<uint8_t>(a)} << 8 | static_cast<uint8_t>(b);
  }

  void split(std::string_view part, Scratch& scratch) const {
    auto& symbols = scratch.symbols;
    symbols.clear();
    for (size_t i = 0; i < part.size();) {
      const ByteTrie::Match match = user_defined_.longest_prefix(part.substr(i));
      const size_t size = match.size > 0 ? match.size : decode_utf8(part.substr(i)).size;
      Scratch::Symbol s{};
      s.prev = static_cast<int32_t>(symbols.size()) - 1;
      s.next = static_cast<int32_t>(symbols.size()) + 1;
      s.begin = static_cast<uint32_t>(i);
      s.size = static_cast<uint32_t>(size);
      s.frozen = match.size > 0;
      symbols.push_back(s);
      i += size;
    }
    symbols.back().next = -1;
  }

  void encode_part(std::string_view part, Scratch& scratch, bool& after_unknown,
                   std::vector<int32_t>& out) const {
    split(part, scratch);
    auto& symbols = scratch.symbols;
    auto& queue = scratch.queue;
    Halves halves;  // of the unused pieces that came up
    const auto at = [&](int32_t i) -> Scratch::Symbol& { return symbols[static_cast<size_t>(i)]; };
    const auto look_up = [&](int32_t i) {
      Scratch::Symbol& s = at(i);
      s.rank = -1;
      if (s.next < 0 || s.frozen || at(s.next).frozen) return;
      const size_t size = size_t{s.size} + at(s.next).size;
      if (size > max_piece_bytes_) return;
      const std::string_view joined = part.substr(s.begin, size);
      const int32_t id = table_.find(joined);
      if (id < 0) return;
      s.rank = ranks_[static_cast<size_t>(id)];
      queue.push(uint64_t{static_cast<uint32_t>(s.rank)} << 32 | static_cast<uint32_t>(i));
      if (has_unused_ && spec_.pieces[static_cast<size_t>(id)].type == PieceType::kUnused)
        halves[joined] = {joined.substr(0, s.size), joined.substr(s.size)};
    };
    for (int32_t i = 0; i < static_cast<int32_t>(symbols.size()); ++i) look_up(i);
    while (!queue.empty()) {
      const uint64_t top = queue.top();
      queue.pop();
      const auto i = static_cast<int32_t>(top & 0xffffffff);
      Scratch::Symbol& s = at(i);
      if (s.rank < 0 || static_cast<uint32_t>(s.rank) != top >> 32) continue;  // the pair has changed since
      Scratch::Symbol& right = at(s.next);
      s.size += right.size;
      s.next = right.next;
      right.rank = -1;
      if (s.next >= 0) at(s.next).prev = i;
      if (s.prev >= 0) look_up(s.prev);  // in SentencePiece's order: `halves` keeps the last of equal texts
      look_up(i);
    }
    for (int32_t i = 0; i >= 0; i = at(i).next)
      append(part.substr(at(i).begin, at(i).size), halves, after_unknown, out);
  }

  void append(std::string_view text, const Halves& halves, bool& after_unknown,
              std::vector<int32_t>& out) const {
    std::vector<std::string_view> todo{text};
    while (!todo.empty()) {
      const std::string_view piece = todo.back();
      todo.pop_back();
      const int32_t id = table_.find(piece);
      if (id < 0) {
        unknown_.append(piece, after_unknown, out);
        continue;
      }
      if (spec_.pieces[static_cast<size_t>(id)].type != PieceType::kUnused) {
        out.push_back(id);
        after_unknown = false;
        continue;
      }
      const auto parts = halves.find(piece);
      if (parts == halves.end()) {  // a single character
        unknown_.append(piece, after_unknown, out);
        continue;
      }
      todo.push_back(parts->second.second);
      todo.push_back(parts->second.first);
    }
  }

  const TokenizerSpec& spec_;
  std::vector<int32_t> ranks_;  // of each piece's score, 0 for the highest; equal scores share a rank
  PieceTable table_;
  ByteTrie user_defined_;
  std::bitset<65536> joins_;  // byte pairs that occur inside a piece
  size_t max_piece_bytes_ = 0;
  bool has_unused_ = false;
  UnknownRule unknown_;
};

}  // namespace

std::unique_ptr<SubwordModel> make_sentencepiece_bpe(const TokenizerSpec& spec) {
  return std::make_unique<SentencePieceBpe>(spec);
}

}  // namespace turgo
