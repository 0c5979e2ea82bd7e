#include "text/gguf_vocab.h"

#include "core/error.h"
#include "text/gguf_pre_tokenizer.h"
#include "text/piece_table.h"

namespace turgo {
namespace {

void take_pieces(GgufVocab& vocab, TokenizerSpec& spec) {
  const size_t size = vocab.tokens.size();
  if (size == 0 || size > (size_t{1} << 24))
    fail(ErrorCode::kCorrupt, "{}: expected 1 to 2^24 tokens in tokenizer.ggml.tokens, got {}", spec.name,
         size);
  if (!vocab.scores.empty() && vocab.scores.size() != size)
    fail(ErrorCode::kCorrupt, "{}: expected one score per token ({}), got {}", spec.name, size,
         vocab.scores.size());
  if (!vocab.token_types.empty() && vocab.token_types.size() != size)
    fail(ErrorCode::kCorrupt, "{}: expected one token type per token ({}), got {}", spec.name, size,
         vocab.token_types.size());
  spec.pieces.resize(size);
  for (size_t id = 0; id < size; ++id) {
    Piece& piece = spec.pieces[id];
    piece.text = std::move(vocab.tokens[id]);
    if (!vocab.scores.empty()) piece.score = double{vocab.scores[id]};
    const int32_t type = vocab.token_types.empty() ? 1 : vocab.token_types[id];
    if (type < 0 || type > 6)
      fail(ErrorCode::kCorrupt, "{}: expected token types of 0 to 6, token {} has {}", spec.name, id, type);
    piece.type = type == 0 ? PieceType::kNormal : static_cast<PieceType>(type);
  }
}

void take_merges(const GgufVocab& vocab, TokenizerSpec& spec) {
  if (vocab.merges.empty())
    fail(ErrorCode::kCorrupt, "{}: expected tokenizer.ggml.merges for a vocabulary of model gpt2, got none",
         spec.name);
  PieceTable table;
  table.reserve(spec.pieces.size());
  for (size_t id = 0; id < spec.pieces.size(); ++id)
    table.insert(spec.pieces[id].text, static_cast<int32_t>(id));
  spec.merges.reserve(vocab.merges.size());
  std::string joined;
  for (size_t rank = 0; rank < vocab.merges.size(); ++rank) {
    const std::string& line = vocab.merges[rank];
    const size_t space = line.find(' ', 1);
    if (space == std::string::npos)
      fail(ErrorCode::kCorrupt, "{}: expected two tokens in merge {}, got {}", spec.name, rank, quote(line));
    const std::string_view left = std::string_view(line).substr(0, space),
                           right = std::string_view(line).substr(space + 1);
    joined.assign(left).append(right);
    const Merge merge{table.find(left), table.find(right), table.find(joined)};
    if (merge.left < 0 || merge.right < 0 || merge.result < 0)
      fail(ErrorCode::kCorrupt, "{}: merge {} ({}) names a token that is not in the vocabulary", spec.name,
           rank, quote(line));
    spec.merges.push_back(merge);
  }
}

NormalizerStep sentencepiece_step(GgufVocab& vocab, bool remove_extra_whitespaces) {
  NormalizerStep step{};
  step.kind = NormalizerStep::Kind::kSentencePiece;
  step.charsmap = std::move(vocab.precompiled_charsmap);
  step.add_dummy_prefix = vocab.add_space_prefix.value_or(true);
  step.remove_extra_whitespaces = remove_extra_whitespaces;
  return step;
}

}  // namespace

TokenizerSpec tokenizer_spec_from_gguf(GgufVocab vocab) {
  TokenizerSpec spec;
  spec.name = vocab.name;
  take_pieces(vocab, spec);
  spec.bos_id = vocab.bos_id;
  spec.eos_id = vocab.eos_id;
  spec.unk_id = vocab.unk_id;
  spec.pad_id = vocab.pad_id;
  bool add_bos = false, add_eos = false;
  if (vocab.model == "gpt2") {
    GgufPreTokenizer pre = gguf_pre_tokenizer(vocab.pre, spec.name);
    take_merges(vocab, spec);
    spec.model = TokenizerModel::kMergeBpe;
    spec.byte_level = true;
    spec.decoder = TokenDecoder::kByteLevel;
    spec.ignore_merges = pre.ignore_merges;
    spec.pre_tokenizers = std::move(pre.steps);
    if (pre.nfc) {
      NormalizerStep step{};
      step.kind = NormalizerStep::Kind::kNfc;
      spec.normalizers.push_back(std::move(step));
    }
    spec.unk_id = -1;  // every byte has a piece; files often name an unrelated token here
    add_bos = pre.add_bos;
  } else if (vocab.model == "llama" || vocab.model == "t5") {
    const bool unigram = vocab.model == "t5";
    if (vocab.scores.empty())
      fail(ErrorCode::kCorrupt, "{}: expected tokenizer.ggml.scores for a vocabulary of model {}, got none",
           spec.name, vocab.model);
    spec.model = unigram ? TokenizerModel::kUnigram : TokenizerModel::kSentencePieceBpe;
    spec.sentencepiece = true;
    spec.fuse_unk = true;
    spec.decoder = TokenDecoder::kMetaspace;
    // llama.cpp's files carry remove_extra_whitespaces for all; the BPE models' own normalisers do not do it.
    spec.normalizers.push_back(
        sentencepiece_step(vocab, unigram && vocab.remove_extra_whitespaces.value_or(true)));
    const NormalizerStep& step = spec.normalizers[0];
    spec.max_stripped_spaces = step.remove_extra_whitespaces ? SIZE_MAX : step.add_dummy_prefix ? 1 : 0;
    for (size_t id = 0; id < spec.pieces.size(); ++id) {
      if (spec.pieces[id].type == PieceType::kByte) spec.byte_fallback = true;
      if (spec.pieces[id].type == PieceType::kUnknown && spec.unk_id < 0)
        spec.unk_id = static_cast<int32_t>(id);
    }
    add_bos = !unigram;
    add_eos = unigram;
  } else {
    fail(ErrorCode::kUnsupported, "{}: expected tokenizer.ggml.model gpt2, llama or t5, got {}", spec.name,
         quote(vocab.model));
  }
  spec.add_bos = vocab.add_bos.value_or(add_bos);
  spec.add_eos = vocab.add_eos.value_or(add_eos);
  return spec;
}

}  // namespace turgo
