#include "text/sentencepiece_model.h"

#include "core/error.h"
#include "core/mapped_file.h"
#include "text/protobuf_reader.h"
#include "text/utf8.h"

namespace turgo {
namespace {

struct Trainer {
  int32_t model_type = 1;  // 1 Unigram, 2 BPE, 3 word, 4 character
  bool byte_fallback = false, suffix = false;
  std::string bos = "<s>", eos = "</s>", pad = "<pad>";
};

Piece read_piece(std::string_view message, const std::string& name) {
  Piece piece;
  ProtobufReader reader(message, name);
  while (reader.next()) {
    if (reader.field() == 1) piece.text = reader.bytes();
    if (reader.field() == 2) piece.score = double{reader.float32()};
    if (reader.field() == 3) {
      const uint64_t type = reader.varint();
      if (type < 1 || type > 6)
        fail(ErrorCode::kCorrupt, "{}: expected piece types of 1 to 6, {} has {}", name, quote(piece.text),
             type);
      piece.type = static_cast<PieceType>(type);
    }
  }
  if (piece.text.empty()) fail(ErrorCode::kCorrupt, "{}: a piece has no text", name);
  if (!is_valid_utf8(piece.text))
    fail(ErrorCode::kCorrupt, "{}: piece {} is not UTF-8", name, quote(piece.text));
  return piece;
}

Trainer read_trainer(std::string_view message, const std::string& name) {
  Trainer trainer;
  ProtobufReader reader(message, name);
  while (reader.next()) {
    switch (reader.field()) {
      case 3:
        trainer.model_type = reader.int32();
        break;
      case 24:
        trainer.suffix = reader.boolean();
        break;
      case 35:
        trainer.byte_fallback = reader.boolean();
        break;
      case 46:
        trainer.bos = reader.bytes();
        break;
      case 47:
        trainer.eos = reader.bytes();
        break;
      case 48:
        trainer.pad = reader.bytes();
        break;
      default:
        break;
    }
  }
  return trainer;
}

NormalizerStep read_normalizer(std::string_view message, const std::string& name) {
  NormalizerStep step{};
  step.kind = NormalizerStep::Kind::kSentencePiece;
  step.add_dummy_prefix = step.remove_extra_whitespaces = step.escape_whitespaces = true;
  ProtobufReader reader(message, name);
  while (reader.next()) {
    switch (reader.field()) {
      case 2:
        step.charsmap = reader.bytes();
        break;
      case 3:
        step.add_dummy_prefix = reader.boolean();
        break;
      case 4:
        step.remove_extra_whitespaces = reader.boolean();
        break;
      case 5:
        step.escape_whitespaces = reader.boolean();
        break;
      default:
        break;
    }
  }
  return step;
}

void check_pieces(const TokenizerSpec& spec) {
  std::vector<bool> have(256, false);
  size_t num_bytes = 0;
  for (const Piece& piece : spec.pieces) {
    if (piece.type != PieceType::kByte) continue;
    const int byte = parse_byte_piece(piece.text);
    if (byte < 0 || have[static_cast<size_t>(byte)] || !spec.byte_fallback)
      fail(ErrorCode::kCorrupt, "{}: unexpected byte piece {}", spec.name, quote(piece.text));
    have[static_cast<size_t>(byte)] = true;
    ++num_bytes;
  }
  if (spec.byte_fallback && num_bytes != 256)
    fail(ErrorCode::kCorrupt, "{}: expected 256 byte pieces for byte_fallback, got {}", spec.name, num_bytes);
  if (spec.unk_id < 0)
    fail(ErrorCode::kCorrupt, "{}: expected an unknown piece (<unk>), got none", spec.name);
}

}  // namespace

TokenizerSpec parse_sentencepiece_model(std::string_view bytes, const std::string& name) {
  TokenizerSpec spec;
  spec.name = name;
  spec.sentencepiece = true;
  spec.fuse_unk = true;
  spec.decoder = TokenDecoder::kMetaspace;
  Trainer trainer;
  NormalizerStep normalizer = read_normalizer({}, name);
  ProtobufReader reader(bytes, spec.name);
  while (reader.next()) {
    if (reader.field() == 1) {
      if (spec.pieces.size() >= (size_t{1} << 24))
        fail(ErrorCode::kCorrupt, "{}: more than 2^24 pieces", name);
      spec.pieces.push_back(read_piece(reader.bytes(), spec.name));
    }
    if (reader.field() == 2) trainer = read_trainer(reader.bytes(), spec.name);
    if (reader.field() == 3) normalizer = read_normalizer(reader.bytes(), spec.name);
  }
  if (spec.pieces.empty())
    fail(ErrorCode::kCorrupt, "{}: expected a SentencePiece model, got {} bytes without a vocabulary", name,
         bytes.size());
  if (trainer.model_type != 1 && trainer.model_type != 2)
    fail(ErrorCode::kUnsupported, "{}: expected a SentencePiece model of type Unigram (1) or BPE (2), got {}",
         name, trainer.model_type);
  spec.model = trainer.model_type == 1 ? TokenizerModel::kUnigram : TokenizerModel::kSentencePieceBpe;
  spec.byte_fallback = trainer.byte_fallback;
  normalizer.suffix = trainer.suffix;
  spec.max_stripped_spaces = normalizer.remove_extra_whitespaces ? SIZE_MAX
                             : normalizer.add_dummy_prefix       ? 1
                                                                 : 0;
  spec.normalizers.push_back(std::move(normalizer));
  for (size_t i = 0; i < spec.pieces.size(); ++i) {
    const Piece& piece = spec.pieces[i];
    const auto id = static_cast<int32_t>(i);
    if (piece.type == PieceType::kUnknown) {
      if (spec.unk_id >= 0)
        fail(ErrorCode::kCorrupt, "{}: two unknown pieces, {} and {}", name, spec.unk_id, id);
      spec.unk_id = id;
    }
    if (piece.type != PieceType::kControl) continue;
    if (piece.text == trainer.bos) spec.bos_id = id;
    if (piece.text == trainer.eos) spec.eos_id = id;
    if (piece.text == trainer.pad) spec.pad_id = id;
  }
  check_pieces(spec);
  spec.add_bos = spec.bos_id >= 0 && spec.model == TokenizerModel::kSentencePieceBpe;
  return spec;
}

TokenizerSpec read_sentencepiece_model(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse_sentencepiece_model({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                   quote(path, 200));
}

}  // namespace turgo
