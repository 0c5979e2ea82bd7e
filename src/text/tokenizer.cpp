// The one Tokenizer: added tokens -> normaliser -> pre-tokenizer -> subword model, and a table of bytes per
// id for the way back. Everything mutable lives on the stack of a call.
#include "text/tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "text/added_tokens.h"
#include "text/byte_level.h"
#include "text/normalizer.h"
#include "text/piece_table.h"
#include "text/pre_tokenizer.h"
#include "text/subword_model.h"
#include "text/tokenizer_spec.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;  // positions inside a word are 32-bit

// Completes what files leave implicit: control pieces are added tokens, tokens that look like control tokens
// are, and the model must not produce them from text.
TokenizerSpec finish(TokenizerSpec spec) {
  validate_spec(spec);
  std::vector<bool> listed(spec.pieces.size(), false);
  for (const AddedToken& token : spec.added_tokens) listed[static_cast<size_t>(token.id)] = true;
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    const Piece& piece = spec.pieces[i];
    if (listed[i] || piece.text.empty() || piece.text.size() > 512) continue;
    const auto id = static_cast<int32_t>(i);
    AddedToken token;
    token.content = piece.text;
    token.id = id;
    const bool marked = piece.text.front() == '<' && piece.text.back() == '>';
    token.special = piece.type == PieceType::kControl || piece.type == PieceType::kUnknown ||
                    (marked && (id == spec.bos_id || id == spec.eos_id || id == spec.pad_id));
    const bool user_defined = piece.type == PieceType::kUserDefined;
    if (token.special || (user_defined && (!spec.sentencepiece || looks_like_control(piece.text))))
      spec.added_tokens.push_back(token);
  }
  for (AddedToken& token : spec.added_tokens) {
    token.control = token.control || token.special || looks_like_control(token.content);
    Piece& piece = spec.pieces[static_cast<size_t>(token.id)];
    if (token.control && piece.type != PieceType::kUnknown) piece.type = PieceType::kControl;
    if (token.control) token.normalized = false;
  }
  return spec;
}

std::string decoded_piece(const TokenizerSpec& spec, const Piece& piece) {
  std::string bytes;
  switch (spec.decoder) {
    case TokenDecoder::kByteLevel:
      if (bytes_of_piece(piece.text, bytes)) return bytes;
      return piece.text;
    case TokenDecoder::kMetaspace:
      if (const int byte = parse_byte_piece(piece.text);
          byte >= 0 && (piece.type == PieceType::kByte || spec.decode_bytes))
        return std::string(1, static_cast<char>(byte));
      for (size_t i = 0; i < piece.text.size();) {
        const bool space = piece.text.compare(i, 3, "\u2581") == 0;
        if (space)
          bytes += ' ';
        else
          bytes += piece.text[i];
        i += space ? 3 : 1;
      }
      return bytes;
    case TokenDecoder::kPlain:
      return piece.text;
  }
  CHECK(false, "decoder {}", static_cast<int>(spec.decoder));
  return {};
}

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(TokenizerSpec spec)
      : spec_(finish(std::move(spec))), normalizer_(spec_), pre_tokenizer_(spec_) {
    switch (spec_.model) {
      case TokenizerModel::kMergeBpe:
        model_ = make_merge_bpe(spec_);
        break;
      case TokenizerModel::kSentencePieceBpe:
        model_ = make_sentencepiece_bpe(spec_);
        break;
      case TokenizerModel::kUnigram:
        model_ = make_unigram(spec_);
        break;
    }
    build_added_tokens();
    build_tables();
    spec_.merges = {};
  }

  std::vector<int32_t> encode(std::string_view text, bool parse_special) const override {
    return encode(text, parse_special, {});
  }

  std::vector<int32_t> encode(const MarkedText& text) const override {
    size_t last = 0;
    for (const auto& range : text.input) {
      CHECK(range.begin >= last && range.begin < range.end && range.end <= text.text.size(),
            "marked range {}…{} after {} in {} bytes", range.begin, range.end, last, text.text.size());
      last = range.end;
    }
    return encode(text.text, true, text.input);
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string out;
    for (const int32_t id : ids) append_piece(id, skip_special, out);
    if (spec_.max_stripped_spaces > 0)
      out.erase(0, std::min(out.find_first_not_of(' '), spec_.max_stripped_spaces));
    return out;
  }

  std::string piece(int32_t id, bool skip_special) const override {
    std::string out;
    append_piece(id, skip_special, out);
    return out;
  }

  int32_t vocab_size() const override { return static_cast<int32_t>(spec_.pieces.size()); }
  int32_t token_to_id(std::string_view token) const override { return vocabulary_.find(token); }
  std::string id_to_token(int32_t id) const override {
    return in_range(id) ? spec_.pieces[static_cast<size_t>(id)].text : "";
  }
  bool is_special(int32_t id) const override { return in_range(id) && special_[static_cast<size_t>(id)]; }
  size_t max_stripped_spaces() const override { return spec_.max_stripped_spaces; }
  int32_t bos_id() const override { return spec_.bos_id; }
  int32_t eos_id() const override { return spec_.eos_id; }
  bool add_bos() const override { return spec_.add_bos && spec_.bos_id >= 0; }
  bool add_eos() const override { return spec_.add_eos && spec_.eos_id >= 0; }

 private:
  struct Work {
    SubwordModel::Scratch scratch;
    std::vector<PreTokenizer::Word> words;
    std::vector<int32_t> ids;
    RegexDeadline deadline;
  };

  bool in_range(int32_t id) const { return id >= 0 && id < vocab_size(); }

  void build_added_tokens() {
    std::vector<std::pair<std::string, const AddedToken*>> raw, normalized;
    for (const AddedToken& token : spec_.added_tokens) {
      if (token.normalized && !normalizer_.is_identity())
        normalized.emplace_back(normalizer_.normalize(token.content), &token);
      else
        raw.emplace_back(token.content, &token);
    }
    raw_tokens_ = AddedTokens(std::move(raw));
    normalized_tokens_ = AddedTokens(std::move(normalized));
  }

  void build_tables() {
    const size_t size = spec_.pieces.size();
    special_.resize(size);
    for (const AddedToken& token : spec_.added_tokens)
      if (token.special) special_[static_cast<size_t>(token.id)] = true;
    std::vector<bool> added(size, false);
    for (const AddedToken& token : spec_.added_tokens) added[static_cast<size_t>(token.id)] = true;
    vocabulary_.reserve(size);
    ends_.reserve(size);
    for (size_t id = 0; id < size; ++id) {
      const Piece& piece = spec_.pieces[id];
      if (!piece.text.empty()) vocabulary_.insert(piece.text, static_cast<int32_t>(id));
      const bool verbatim = added[id] && spec_.decoder == TokenDecoder::kByteLevel;
      bytes_ += verbatim ? piece.text : decoded_piece(spec_, piece);
      ends_.push_back(bytes_.size());
    }
  }

  void append_piece(int32_t id, bool skip_special, std::string& out) const {
    if (!in_range(id)) return;
    const auto i = static_cast<size_t>(id);
    if (skip_special && special_[i]) return;
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    out.append(bytes_, begin, ends_[i] - begin);
  }

  std::vector<int32_t> encode(std::string_view text, bool parse_special,
                              std::span<const MarkedText::Range> protect) const {
    if (text.size() > kMaxTextBytes)
      fail(ErrorCode::kTooLong, "expected a text of at most {} bytes, got {}; send it in parts",
           kMaxTextBytes, text.size());
    std::string repaired;
    std::vector<MarkedText::Range> moved;
    if (!is_valid_utf8(text)) {
      repaired = repair(text, protect, moved);
      text = repaired;
      protect = moved;
    }
    Work work{{}, {}, {}, RegexDeadline(text.size())};
    size_t done = 0;
    for (const auto& hit : raw_tokens_.find(text, parse_special, protect)) {
      if (hit.begin > done) encode_segment(text.substr(done, hit.begin - done), done == 0, work);
      work.ids.push_back(hit.token->id);
      done = hit.end;
    }
    encode_segment(text.substr(done), done == 0, work);
    return std::move(work.ids);
  }

  // Ill-formed UTF-8 becomes U+FFFD (SentencePiece: per byte); the protected ranges move along.
  std::string repair(std::string_view text, std::span<const MarkedText::Range> protect,
                     std::vector<MarkedText::Range>& moved) const {
    std::string out;
    size_t done = 0;
    const auto copy_to = [&](size_t end) {
      out += repair_utf8(text.substr(done, end - done), spec_.sentencepiece);
      done = end;
    };
    for (const auto& range : protect) {
      copy_to(range.begin);
      const size_t begin = out.size();
      copy_to(range.end);
      moved.push_back({begin, out.size()});
    }
    copy_to(text.size());
    return out;
  }

  void encode_segment(std::string_view text, bool first, Work& work) const {
    if (text.empty()) return;
    if (normalizer_.is_identity()) return encode_words(std::string(text), first, work);
    const std::string normalized =
        normalizer_.normalize(text, first || !spec_.prefix_first_only, work.deadline);
    size_t done = 0;
    for (const auto& hit : normalized_tokens_.find(normalized, false, {})) {
      if (hit.begin > done) encode_words(normalized.substr(done, hit.begin - done), first && done == 0, work);
      work.ids.push_back(hit.token->id);
      done = hit.end;
    }
    encode_words(done == 0 ? normalized : normalized.substr(done), first && done == 0, work);
  }

  void encode_words(std::string text, bool first, Work& work) const {
    pre_tokenizer_.split(text, first, work.deadline, work.words);
    for (const PreTokenizer::Word& word : work.words)
      model_->encode(std::string_view(text).substr(word.begin, word.end - word.begin), work.scratch,
                     work.ids);
  }

  TokenizerSpec spec_;  // the members below keep references into it
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  std::unique_ptr<SubwordModel> model_;
  AddedTokens raw_tokens_, normalized_tokens_;
  PieceTable vocabulary_;
  std::vector<bool> special_;
  std::string bytes_;         // of all ids, one after the other
  std::vector<size_t> ends_;  // of each id in bytes_
};

}  // namespace

std::shared_ptr<const Tokenizer> Tokenizer::create(TokenizerSpec spec) {
  return std::make_shared<PipelineTokenizer>(std::move(spec));
}

}  // namespace turgo
