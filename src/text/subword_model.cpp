#include "text/subword_model.h"

#include <algorithm>

namespace turgo {

std::vector<int32_t> byte_piece_ids(const TokenizerSpec& spec) {
  std::vector<int32_t> ids(256, -1);
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const Piece& piece = spec.pieces[id];
    if (piece.type == PieceType::kControl || piece.text.size() != 6) continue;
    const int byte = parse_byte_piece(piece.text);
    if (byte >= 0 && ids[static_cast<size_t>(byte)] < 0)
      ids[static_cast<size_t>(byte)] = static_cast<int32_t>(id);
  }
  return ids;
}

void UnknownRule::append(std::string_view character, bool& after_unknown, std::vector<int32_t>& out) const {
  const auto id_of = [&](char c) { return byte_ids[static_cast<uint8_t>(c)]; };
  if (byte_fallback &&
      std::all_of(character.begin(), character.end(), [&](char c) { return id_of(c) >= 0; })) {
    for (char c : character) out.push_back(id_of(c));
    after_unknown = false;
    return;
  }
  if (unk_id < 0 || (fuse && after_unknown)) return;
  out.push_back(unk_id);
  after_unknown = true;
}

}  // namespace turgo
