// Text before pre-tokenisation: the steps of TokenizerSpec::normalizers in order. Valid UTF-8 in, valid UTF-8
// out.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace turgo {

class Normalizer {
 public:
  // Throws Error{kCorrupt, kUnsupported}. `spec` must outlive the normaliser.
  explicit Normalizer(const TokenizerSpec& spec);

  // `prefix`: this text may get SentencePiece's dummy prefix. Throws Error{kUnsupported} for steps that are
  // not linear in the text.
  std::string normalize(std::string_view text, bool prefix, const RegexDeadline& deadline) const;
  std::string normalize(std::string_view text) const {
    return normalize(text, true, RegexDeadline(text.size()));
  }
  bool is_identity() const { return steps_.empty(); }

 private:
  struct Step {
    const NormalizerStep* spec;
    std::unique_ptr<Charsmap> charsmap;
    std::unique_ptr<Regex> regex;
  };
  // `limit`: of the whole chain, checked where a step may write more than it reads.
  std::string apply(const Step& step, std::string_view text, bool prefix, const RegexDeadline& deadline,
                    const GrowthLimit& limit) const;
  std::string sentencepiece(const Step& step, std::string_view text, bool prefix,
                            const GrowthLimit& limit) const;

  const std::string& name_;  // for error messages
  std::vector<Step> steps_;
  ByteTrie user_defined_;  // SentencePiece leaves these pieces as they are
};

}  // namespace turgo
