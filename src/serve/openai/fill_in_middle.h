// Fill-in-the-middle (Bavarian et al. 2022, https://arxiv.org/abs/2207.14255): the prompt of a model that was
// taught to write what stands between a prefix and a suffix. A model can if its vocabulary has the markers;
// which markers, and in which order, differs between families.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace turgo {

struct FillInMiddle {
  int32_t prefix = -1, suffix = -1, middle = -1;  // markers; middle < 0: nothing stands at the end
  bool suffix_first = false;                      // Codestral: suffix, then prefix
  std::vector<int32_t> stop_ids;                  // what ends the middle beside the model's own end

  static std::optional<FillInMiddle> find(const Tokenizer& tokenizer);
  std::vector<int32_t> prompt(const Tokenizer& tokenizer, const std::string& before,
                              const std::string& after) const;
};

}  // namespace turgo
