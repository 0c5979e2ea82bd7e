// Cuts normalised text into words: the steps of TokenizerSpec::pre_tokenizers in order, each on every word of
// the one before. Words are ranges of one buffer; steps that rewrite text (▁ for spaces, a space in front)
// rewrite the buffer.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex.h"
#include "text/tokenizer_spec.h"

namespace turgo {

class PreTokenizer {
 public:
  struct Word {
    size_t begin, end;  // bytes of the buffer, begin < end
  };
  // Throws Error{kUnsupported}. `spec` must outlive the pre-tokenizer.
  explicit PreTokenizer(const TokenizerSpec& spec);

  // `first`: the text is the beginning of the whole input. `words` is replaced.
  // Throws Error{kUnsupported} for steps that are not linear in the text.
  void split(std::string& text, bool first, const RegexDeadline& deadline, std::vector<Word>& words) const;

 private:
  struct Step {
    const PreTokenizerStep* spec;
    std::unique_ptr<Regex> regex;
  };
  void apply(const Step& step, std::string& text, bool first, const RegexDeadline& deadline,
             std::vector<Word>& words) const;

  const std::string& name_;  // for error messages
  std::vector<Step> steps_;
};

}  // namespace turgo
