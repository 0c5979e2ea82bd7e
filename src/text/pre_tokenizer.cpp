#include "text/pre_tokenizer.h"

#include "core/error.h"
#include "text/pre_tokenizer_scan.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace turgo {
namespace {

using Word = PreTokenizer::Word;
using Behavior = PreTokenizerStep::Behavior;

// Words from matches of a delimiter, as Hugging Face's SplitDelimiterBehavior does.
class Splitter {
 public:
  Splitter(Behavior behavior, bool invert, size_t offset, std::vector<Word>& out)
      : behavior_(behavior), invert_(invert), offset_(offset), out_(out), first_(out.size()) {}

  // Ranges must come in order and cover the text without gaps.
  void add(size_t begin, size_t end, bool is_match) {
    if (begin == end) return;
    const Word word{offset_ + begin, offset_ + end};
    is_match ^= invert_;
    switch (behavior_) {
      case Behavior::kIsolated:
        out_.push_back(word);
        break;
      case Behavior::kRemoved:
        if (!is_match) out_.push_back(word);
        break;
      case Behavior::kMergedWithPrevious:
        // Only one match joins, and only what is no match itself.
        join_or_push(word, is_match && have_previous_ && !previous_);
        break;
      case Behavior::kMergedWithNext:
        join_or_push(word, !is_match && have_previous_ && previous_);
        break;
      case Behavior::kContiguous:
        join_or_push(word, have_previous_ && previous_ == is_match);
        break;
    }
    previous_ = is_match;
    have_previous_ = true;
  }

 private:
  void join_or_push(const Word& word, bool join) {
    if (join && out_.size() > first_)
      out_.back().end = word.end;
    else
      out_.push_back(word);
  }
  Behavior behavior_;
  bool invert_;
  size_t offset_;
  std::vector<Word>& out_;
  size_t first_;
  bool previous_ = false, have_previous_ = false;
};

template <class IsMatch>
void split_characters(std::string_view text, Splitter splitter, IsMatch is_match) {
  size_t begin = 0;  // of the run of characters that do not match
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.substr(i));
    if (is_match(c.code)) {
      splitter.add(begin, i, false);
      splitter.add(i, i + c.size, true);
      begin = i + c.size;
    }
    i += c.size;
  }
  splitter.add(begin, text.size(), false);
}

void split_literal(std::string_view text, std::string_view pattern, Splitter splitter) {
  size_t pos = 0;
  while (!pattern.empty()) {
    const size_t hit = text.find(pattern, pos);
    if (hit == std::string_view::npos) break;
    splitter.add(pos, hit, false);
    splitter.add(hit, hit + pattern.size(), true);
    pos = hit + pattern.size();
  }
  splitter.add(pos, text.size(), false);
}

void split_regex(std::string_view text, const Regex& regex, Regex::Scratch& scratch, Splitter splitter) {
  size_t pos = 0, from = 0, begin = 0, end = 0;
  while (from < text.size() && regex.find(text, from, scratch, begin, end)) {
    if (end > begin) {
      splitter.add(pos, begin, false);
      splitter.add(begin, end, true);
      pos = from = end;
    } else {  // an empty match cuts without taking anything
      splitter.add(pos, begin, false);
      pos = begin;
      from = begin < text.size() ? begin + decode_utf8(text.substr(begin)).size : text.size();
    }
  }
  splitter.add(pos, text.size(), false);
}

// The kinds that change the text, so that words get new places in it.
void rewrite_spaces(const PreTokenizerStep& spec, std::string& text, bool first, std::vector<Word>& words) {
  using Kind = PreTokenizerStep::Kind;
  std::vector<Word> out;
  std::string rewritten;
  for (const Word& word : words) {
    const std::string_view old = std::string_view(text).substr(word.begin, word.end - word.begin);
    const size_t begin = rewritten.size();
    if (spec.kind == Kind::kPrefixSpace) {
      if (!old.starts_with(' ')) rewritten += ' ';
      rewritten += old;
      out.push_back({begin, rewritten.size()});
      continue;
    }
    const bool prepend = spec.prepend == PreTokenizerStep::Prepend::kAlways ||
                         (spec.prepend == PreTokenizerStep::Prepend::kFirst && first && word.begin == 0);
    if (prepend && !old.starts_with(' ') && !old.starts_with(spec.content)) rewritten += spec.content;
    for (const char c : old) {
      if (c == ' ')
        rewritten += spec.content;
      else
        rewritten += c;
    }
    if (spec.split)
      split_literal(std::string_view(rewritten).substr(begin), spec.content,
                    Splitter(Behavior::kMergedWithNext, false, begin, out));
    else
      out.push_back({begin, rewritten.size()});
  }
  text = std::move(rewritten);
  words = std::move(out);
}

}  // namespace

PreTokenizer::PreTokenizer(const TokenizerSpec& spec) : name_(spec.name) {
  for (const PreTokenizerStep& step : spec.pre_tokenizers) {
    Step s{&step, nullptr};
    if (step.kind == PreTokenizerStep::Kind::kSplit && step.is_regex)
      s.regex = std::make_unique<Regex>(step.pattern, spec.name + ": pre_tokenizer");
    steps_.push_back(std::move(s));
  }
}

void PreTokenizer::split(std::string& text, bool first, const RegexDeadline& deadline,
                         std::vector<Word>& words) const {
  words.clear();
  if (text.empty()) return;
  const GrowthLimit limit(text.size(), name_);
  words.push_back({0, text.size()});
  for (const Step& step : steps_) {
    apply(step, text, first, deadline, words);
    limit.check(text.size());
  }
}

void PreTokenizer::apply(const Step& step, std::string& text, bool first, const RegexDeadline& deadline,
                         std::vector<Word>& words) const {
  using Kind = PreTokenizerStep::Kind;
  const PreTokenizerStep& spec = *step.spec;
  if (spec.kind == Kind::kPrefixSpace || spec.kind == Kind::kMetaspace)
    return rewrite_spaces(spec, text, first, words);
  std::vector<Word> out;
  std::unique_ptr<Regex::Scratch> scratch;
  if (step.regex) scratch = std::make_unique<Regex::Scratch>(*step.regex, text.size(), deadline);
  for (const Word& word : words) {
    const std::string_view old = std::string_view(text).substr(word.begin, word.end - word.begin);
    Splitter splitter(spec.behavior, spec.invert, word.begin, out);
    switch (spec.kind) {
      case Kind::kGpt2:
      case Kind::kLlama3:
        for (size_t i = 0; i < old.size();) {
          const std::string_view rest = old.substr(i);
          const size_t size = spec.kind == Kind::kGpt2 ? scan_gpt2(rest) : scan_llama3(rest, spec.max_digits);
          splitter.add(i, i + size, true);
          i += size;
        }
        break;
      case Kind::kDigits:
        split_characters(
            old,
            Splitter(spec.individual ? Behavior::kIsolated : Behavior::kContiguous, false, word.begin, out),
            [](uint32_t code) {
              const CharClass c = char_class(code);
              return c == CharClass::kNumber || c == CharClass::kLaterNumber;
            });
        break;
      case Kind::kPunctuation:
        split_characters(old, splitter, [](uint32_t code) {
          return char_class(code) == CharClass::kPunctuation ||
                 (code < 128 && char_class(code) == CharClass::kSymbol);
        });
        break;
      case Kind::kWhitespaceSplit:
        split_characters(old, Splitter(Behavior::kRemoved, false, word.begin, out), is_white_space);
        break;
      case Kind::kSplit:
        if (step.regex)
          split_regex(old, *step.regex, *scratch, splitter);
        else
          split_literal(old, spec.pattern, splitter);
        break;
      case Kind::kPrefixSpace:
      case Kind::kMetaspace:
        break;
    }
  }
  words = std::move(out);
}

}  // namespace turgo
