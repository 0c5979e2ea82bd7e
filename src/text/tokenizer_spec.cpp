#include "text/tokenizer_spec.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>

#include "core/error.h"
#include "text/piece_table.h"

namespace turgo {
namespace {

constexpr size_t kMaxPieces = size_t{1} << 24;  // the largest published vocabularies have about 2^18
constexpr size_t kMaxPieceBytes = 4096;         // bounds what one byte of text may cost in a trie
constexpr size_t kMaxAddedTokenBytes = 512;

void check_id(const TokenizerSpec& spec, int32_t id, const char* what) {
  if (id < -1 || id >= static_cast<int32_t>(spec.pieces.size()))
    fail(ErrorCode::kCorrupt, "{}: expected the {} token's id below the vocabulary size {}, got {}",
         spec.name, what, spec.pieces.size(), id);
}

void check_pieces(const TokenizerSpec& spec) {
  if (spec.pieces.empty() || spec.pieces.size() > kMaxPieces)
    fail(ErrorCode::kCorrupt, "{}: expected 1 to {} vocabulary entries, got {}", spec.name, kMaxPieces,
         spec.pieces.size());
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const Piece& piece = spec.pieces[id];
    if (piece.text.size() > kMaxPieceBytes)
      fail(ErrorCode::kUnsupported, "{}: expected vocabulary entries of at most {} bytes, entry {} has {}",
           spec.name, kMaxPieceBytes, id, piece.text.size());
    if (!std::isfinite(piece.score))
      fail(ErrorCode::kCorrupt, "{}: expected a finite score for vocabulary entry {} ({})", spec.name, id,
           quote(piece.text));
    if (piece.type < PieceType::kNormal || piece.type > PieceType::kByte)
      fail(ErrorCode::kCorrupt, "{}: expected a token type of 1 to 6 for vocabulary entry {}, got {}",
           spec.name, id, static_cast<int>(piece.type));
    if (piece.type == PieceType::kByte && parse_byte_piece(piece.text) < 0)
      fail(ErrorCode::kCorrupt, "{}: expected byte tokens of the form <0x00> to <0xFF>, entry {} is {}",
           spec.name, id, quote(piece.text));
  }
}

void check_merges(const TokenizerSpec& spec) {
  const auto size = static_cast<int32_t>(spec.pieces.size());
  if (spec.merges.size() > kMaxPieces)
    fail(ErrorCode::kCorrupt, "{}: expected at most {} merges, got {}", spec.name, kMaxPieces,
         spec.merges.size());
  for (const Merge& merge : spec.merges)
    if (std::min({merge.left, merge.right, merge.result}) < 0 ||
        std::max({merge.left, merge.right, merge.result}) >= size)
      fail(ErrorCode::kCorrupt, "{}: expected merges of ids below {}, got ({}, {}) -> {}", spec.name, size,
           merge.left, merge.right, merge.result);
}

// Each step passes over the text once, so their number and what they insert bound the time.
void check_steps(const TokenizerSpec& spec) {
  constexpr size_t kMaxSteps = 64, kMaxContentBytes = 256;
  const auto check = [&](const auto& steps, const char* what) {
    if (steps.size() > kMaxSteps)
      fail(ErrorCode::kUnsupported, "{}: expected at most {} {} steps, got {}", spec.name, kMaxSteps, what,
           steps.size());
    for (const auto& step : steps)
      if (step.content.size() > kMaxContentBytes)
        fail(ErrorCode::kUnsupported, "{}: expected {} steps that insert at most {} bytes, got {}", spec.name,
             what, kMaxContentBytes, step.content.size());
  };
  check(spec.normalizers, "normalizer");
  check(spec.pre_tokenizers, "pre-tokenizer");
}

}  // namespace

void GrowthLimit::exceeded(size_t bytes) const {
  fail(ErrorCode::kUnsupported,
       "{}: expected a normalizer that is linear in its text, got one that makes more than {} bytes of {}; "
       "use "
       "another tokenizer file",
       name_, bytes, text_bytes_);
}

int parse_byte_piece(const std::string& text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : {text[3], text[4]}) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

bool looks_like_control(const std::string& content) {
  const std::string_view text = content;
  if (text.size() < 3) return false;
  if (text.starts_with("<|") && text.ends_with("|>")) return true;
  if (text.starts_with("<\uff5c") && text.ends_with("\uff5c>")) return true;  // DeepSeek's full-width bars
  if (!(text.front() == '<' && text.back() == '>') && !(text.front() == '[' && text.back() == ']'))
    return false;
  std::string inside(text.substr(1, text.size() - 2));
  if (inside.starts_with('/')) inside.erase(0, 1);
  for (char& c : inside) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const std::string_view name : {"s", "bos", "eos", "pad", "unk", "mask", "sep", "cls"})
    if (inside == name) return true;
  for (const std::string_view word : {"tool", "think", "turn", "image", "img", "vision", "audio", "video",
                                      "inst", "system", "available_", "fim", "prefix", "suffix", "middle"})
    if (inside.find(word) != std::string::npos) return true;
  return false;
}

void validate_spec(const TokenizerSpec& spec) {
  check_pieces(spec);
  check_merges(spec);
  check_steps(spec);
  check_id(spec, spec.bos_id, "bos");
  check_id(spec, spec.eos_id, "eos");
  check_id(spec, spec.unk_id, "unknown");
  check_id(spec, spec.pad_id, "padding");
  for (const AddedToken& token : spec.added_tokens) {
    if (token.id < 0 || token.id >= static_cast<int32_t>(spec.pieces.size()))
      fail(ErrorCode::kCorrupt, "{}: expected the added token {} to have an id below {}, got {}", spec.name,
           quote(token.content), spec.pieces.size(), token.id);
    if (token.content.empty() || token.content.size() > kMaxAddedTokenBytes)
      fail(ErrorCode::kUnsupported, "{}: expected added tokens of 1 to {} bytes, token {} has {}", spec.name,
           kMaxAddedTokenBytes, token.id, token.content.size());
  }
  if (spec.model != TokenizerModel::kMergeBpe) {
    PieceTable table;
    table.reserve(spec.pieces.size());
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      const Piece& piece = spec.pieces[id];
      if (piece.type != PieceType::kNormal && piece.type != PieceType::kUserDefined) continue;
      if (piece.text.empty() && spec.sentencepiece)
        fail(ErrorCode::kCorrupt, "{}: vocabulary entry {} is empty", spec.name, id);
      if (!piece.text.empty() && !table.insert(piece.text, static_cast<int32_t>(id)) && spec.sentencepiece)
        fail(ErrorCode::kCorrupt, "{}: vocabulary entry {} ({}) appears twice", spec.name, id,
             quote(piece.text));
    }
  }
}

}  // namespace turgo
