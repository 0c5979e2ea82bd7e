// Unigram language model: the path of pieces with the highest sum of scores (Kudo 2018), one pass of Viterbi
// over byte positions, O(n x longest piece). Ties and rounding follow the two programs whose files are read:
// SentencePiece keeps path scores as float and gives user-defined pieces a bonus; Hugging Face keeps double.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "text/byte_trie.h"
#include "text/subword_model.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr double kUnknownPenalty = 10.0;  // both programs: below the lowest score

class Unigram final : public SubwordModel {
 public:
  explicit Unigram(const TokenizerSpec& spec) : float_sums_(spec.sentencepiece), scores_(spec.pieces.size()) {
    std::vector<std::pair<std::string_view, int32_t>> entries;
    double min_score = float_sums_ ? double{FLT_MAX} : HUGE_VAL;
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      const Piece& piece = spec.pieces[id];
      scores_[id] = piece.score;
      if (float_sums_ && piece.type == PieceType::kUserDefined)
        scores_[id] = double{static_cast<float>(0.1 * (static_cast<double>(piece.text.size()) - 1))};
      if (piece.type == PieceType::kNormal || !float_sums_) min_score = std::min(min_score, piece.score);
      if (piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined ||
          (piece.type == PieceType::kByte && !float_sums_))
        entries.emplace_back(piece.text, static_cast<int32_t>(id));
    }
    trie_ = ByteTrie(std::move(entries));
    unknown_score_ = float_sums_ ? double{static_cast<float>(min_score) - static_cast<float>(kUnknownPenalty)}
                                 : min_score - kUnknownPenalty;
    unknown_.byte_fallback = spec.byte_fallback;
    unknown_.fuse = spec.fuse_unk;
    unknown_.unk_id = spec.unk_id;
    unknown_.byte_ids = byte_piece_ids(spec);
  }

  void encode(std::string_view text, Scratch& scratch, std::vector<int32_t>& out) const override {
    if (text.empty()) return;
    if (float_sums_)
      viterbi(text, scratch, scratch.best_float);
    else
      viterbi(text, scratch, scratch.best_double);
    scratch.ranks.clear();  // ends of the pieces, from the back
    for (auto end = static_cast<uint32_t>(text.size()); end > 0; end = scratch.starts[end])
      scratch.ranks.push_back(static_cast<int32_t>(end));
    bool after_unknown = false;
    for (auto end = scratch.ranks.rbegin(); end != scratch.ranks.rend(); ++end) {
      const auto at = static_cast<size_t>(*end);
      if (const int32_t id = scratch.ids[at]; id >= 0) {
        out.push_back(id);
        after_unknown = false;
      } else {
        unknown_.append(text.substr(scratch.starts[at], at - scratch.starts[at]), after_unknown, out);
      }
    }
  }

 private:
  static constexpr uint32_t kUnreached = UINT32_MAX;

  template <class Sum>
  void viterbi(std::string_view text, Scratch& scratch, std::vector<Sum>& best) const {
    best.assign(text.size() + 1, Sum{0});
    scratch.starts.assign(text.size() + 1, kUnreached);
    scratch.ids.assign(text.size() + 1, -1);
    size_t last_end = 0;
    const auto offer = [&](size_t start, size_t end, double sum, int32_t id) {
      if (scratch.starts[end] != kUnreached && !(sum > double{best[end]})) return;
      best[end] = static_cast<Sum>(sum);
      last_end = std::max(last_end, end);
      scratch.starts[end] = static_cast<uint32_t>(start);
      scratch.ids[end] = id;
    };
    for (size_t start = 0; start < text.size();) {
      const size_t char_end = start + decode_utf8(text.substr(start)).size;
      if (float_sums_) rebase(start, last_end, scratch, best);
      const double here = double{best[start]};
      bool has_single = false;
      int32_t node = trie_.empty() ? -1 : ByteTrie::kRoot;
      for (size_t i = start; i < text.size() && node >= 0; ++i) {
        node = trie_.step(node, static_cast<uint8_t>(text[i]));
        const int32_t id = node < 0 ? -1 : trie_.value(node);
        if (id < 0) continue;
        offer(start, i + 1, static_cast<double>(static_cast<Sum>(scores_[static_cast<size_t>(id)] + here)),
              id);
        has_single |= i + 1 == char_end;
      }
      if (!has_single)
        offer(start, char_end, static_cast<double>(static_cast<Sum>(unknown_score_ + here)), -1);
      start = char_end;
    }
  }

  // SentencePiece (0.2.3) takes the sum so far off the sums ahead when it grows large, so that a float still
  // tells paths of a long text apart.
  template <class Sum>
  static void rebase(size_t start, size_t last_end, const Scratch& scratch, std::vector<Sum>& best) {
    constexpr Sum kThreshold = 100000;
    const Sum offset = best[start];
    if (offset >= -kThreshold && offset <= kThreshold) return;
    for (size_t i = start; i <= last_end; ++i)
      if (i == start || scratch.starts[i] != kUnreached) best[i] -= offset;
  }

  bool float_sums_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  ByteTrie trie_;
  UnknownRule unknown_;
};

}  // namespace

std::unique_ptr<SubwordModel> make_unigram(const TokenizerSpec& spec) {
  return std::make_unique<Unigram>(spec);
}

}  // namespace turgo
