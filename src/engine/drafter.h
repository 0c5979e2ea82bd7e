// Speculative decoding's seam: who guesses the next tokens, and what one step checks. A drafter proposes a
// tree behind a sequence's last token; the tree's nodes are rows of one step (SequenceRows::tree_mask), and
// the path that the model itself would have taken is kept. No drafter is installed yet: the engine decodes
// token by token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace turgo {

struct DraftTree {
  // The executor cuts a sequence's rows in tiles of this many, and tree masks count inside one.
  static constexpr int kMaxNodes = 32;

  std::vector<int32_t> token_ids;
  std::vector<int32_t> parents;  // of each node: an earlier node, or -1: the sequence's last token

  int size() const { return static_cast<int>(token_ids.size()); }
  bool is_valid() const;  // as many parents as tokens, all earlier, at most kMaxNodes

  // Per node: bit j = it sees node j (itself and those before it on its path).
  std::vector<uint64_t> masks() const;
  // Per node: its distance from the sequence's last token, >= 1; rope's position is the last one's plus this.
  std::vector<int32_t> depths() const;
  // The nodes on the path that `choices` takes: choices[0] is the token that the model chose after the
  // sequence's last one, choices[1 + i] after node i. Ends where no child of the path holds the chosen token.
  std::vector<int32_t> accepted(std::span<const int32_t> choices) const;
};

class Drafter {
 public:
  virtual ~Drafter() = default;
  // tokens: the whole context, at least one. hidden: {1, hidden_size} f32, the last layer's output for the
  // last token, or null where the drafter said that it needs none. May return an empty tree: nothing to
  // guess.
  virtual DraftTree propose(std::span<const int32_t> tokens, TensorView hidden) = 0;
  virtual bool needs_hidden() const { return false; }
};

}  // namespace turgo
