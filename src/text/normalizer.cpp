#include "text/normalizer.h"

#include "core/error.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr std::string_view kSpaceSymbol = "\u2581";

std::string replace_all(std::string_view text, std::string_view from, std::string_view to,
                        const GrowthLimit& limit) {
  if (from.empty()) return std::string(text);
  std::string out;
  for (size_t pos = 0;;) {
    const size_t hit = text.find(from, pos);
    if (hit == std::string_view::npos) return out.append(text.substr(pos));
    out.append(text.substr(pos, hit - pos)).append(to);
    limit.check(out.size());
    pos = hit + from.size();
  }
}

std::string replace_all(std::string_view text, const Regex& regex, std::string_view to,
                        const RegexDeadline& deadline, const GrowthLimit& limit) {
  Regex::Scratch scratch(regex, text.size(), deadline);
  std::string out;
  size_t pos = 0, from = 0, begin = 0, end = 0;
  while (from <= text.size() && regex.find(text, from, scratch, begin, end)) {
    out.append(text.substr(pos, begin - pos)).append(to);
    limit.check(out.size());
    pos = end;
    from = end > begin ? end : end < text.size() ? end + decode_utf8(text.substr(end)).size : text.size() + 1;
  }
  return out.append(text.substr(pos));
}

std::string_view strip(std::string_view text, bool left, bool right) {
  while (left && !text.empty()) {
    const Utf8Char c = decode_utf8(text);
    if (!is_white_space(c.code)) break;
    text.remove_prefix(c.size);
  }
  while (right && !text.empty()) {
    size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) --begin;
    if (!is_white_space(decode_utf8(text.substr(begin)).code)) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

// Hugging Face's "Precompiled": a map entry for a whole grapheme of fewer than 6 bytes wins, else each
// character alone. Graphemes of more than one character are in no published map, so characters are enough.
std::string map_characters(const Charsmap& charsmap, std::string_view text, const GrowthLimit& limit) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t size = decode_utf8(text.substr(i)).size;
    const std::string_view character = text.substr(i, size);
    const Charsmap::Rule rule = charsmap.longest(character);
    out.append(rule.size == size ? rule.replacement : character);
    limit.check(out.size());
    i += size;
  }
  return out;
}

}  // namespace

Normalizer::Normalizer(const TokenizerSpec& spec) : name_(spec.name) {
  for (const NormalizerStep& step : spec.normalizers) {
    Step s{&step, nullptr, nullptr};
    if (step.kind == NormalizerStep::Kind::kCharsmap || step.kind == NormalizerStep::Kind::kSentencePiece)
      s.charsmap = std::make_unique<Charsmap>(step.charsmap, spec.name);
    if (step.kind == NormalizerStep::Kind::kReplace && step.is_regex)
      s.regex = std::make_unique<Regex>(step.pattern, spec.name + ": normalizer");
    steps_.push_back(std::move(s));
  }
  std::vector<std::pair<std::string_view, int32_t>> user_defined;
  if (spec.sentencepiece)
    for (size_t id = 0; id < spec.pieces.size(); ++id)
      if (spec.pieces[id].type == PieceType::kUserDefined)
        user_defined.emplace_back(spec.pieces[id].text, static_cast<int32_t>(id));
  user_defined_ = ByteTrie(std::move(user_defined));
}

std::string Normalizer::normalize(std::string_view text, bool prefix, const RegexDeadline& deadline) const {
  const GrowthLimit limit(text.size(), name_);
  std::string out(text);
  for (const Step& step : steps_) {
    out = apply(step, out, prefix, deadline, limit);
    limit.check(out.size());
  }
  return out;
}

std::string Normalizer::apply(const Step& step, std::string_view text, bool prefix,
                              const RegexDeadline& deadline, const GrowthLimit& limit) const {
  const NormalizerStep& spec = *step.spec;
  switch (spec.kind) {
    case NormalizerStep::Kind::kNfc:
      return normalize_unicode(text, NormalForm::kNfc);
    case NormalizerStep::Kind::kNfd:
      return normalize_unicode(text, NormalForm::kNfd);
    case NormalizerStep::Kind::kNfkc:
      return normalize_unicode(text, NormalForm::kNfkc);
    case NormalizerStep::Kind::kNfkd:
      return normalize_unicode(text, NormalForm::kNfkd);
    case NormalizerStep::Kind::kLowercase:
      return lowercase(text);
    case NormalizerStep::Kind::kPrepend:
      return text.empty() ? "" : spec.content + std::string(text);
    case NormalizerStep::Kind::kReplace:
      return step.regex ? replace_all(text, *step.regex, spec.content, deadline, limit)
                        : replace_all(text, spec.pattern, spec.content, limit);
    case NormalizerStep::Kind::kStrip:
      return std::string(strip(text, spec.strip_left, spec.strip_right));
    case NormalizerStep::Kind::kCharsmap:
      return map_characters(*step.charsmap, text, limit);
    case NormalizerStep::Kind::kSentencePiece:
      return sentencepiece(step, text, prefix, limit);
  }
  CHECK(false, "normalizer step {}", static_cast<int>(spec.kind));
  return {};
}

std::string Normalizer::sentencepiece(const Step& step, std::string_view text, bool prefix,
                                      const GrowthLimit& limit) const {
  const NormalizerStep& spec = *step.spec;
  struct Unit {
    std::string_view text;  // what it becomes
    size_t size;            // what it consumes
  };
  const auto next = [&](std::string_view rest) -> Unit {
    if (const auto match = user_defined_.longest_prefix(rest); match.size > 0)
      return {rest.substr(0, match.size), match.size};
    if (const auto rule = step.charsmap->longest(rest); rule.size > 0) return {rule.replacement, rule.size};
    const Utf8Char c = decode_utf8(rest);
    if (!c.valid) return {"\ufffd", 1};
    return {rest.substr(0, c.size), c.size};
  };
  const std::string_view space = spec.escape_whitespaces ? kSpaceSymbol : std::string_view(" ");
  if (spec.remove_extra_whitespaces) {
    while (!text.empty()) {
      const Unit unit = next(text);
      if (unit.text != " ") break;
      text.remove_prefix(unit.size);
    }
  }
  if (text.empty()) return {};
  const bool add_prefix = spec.add_dummy_prefix && prefix;
  std::string out;
  out.reserve(text.size() * 3 / 2);
  if (!spec.suffix && add_prefix) out += space;
  bool after_space = spec.remove_extra_whitespaces;
  while (!text.empty()) {
    const Unit unit = next(text);
    text.remove_prefix(unit.size);
    std::string_view piece = unit.text;
    while (after_space && piece.starts_with(' ')) piece.remove_prefix(1);
    if (!piece.empty()) {
      for (const char c : piece) {
        if (c == ' ')
          out += space;
        else
          out += c;
      }
      after_space = piece.back() == ' ';
      limit.check(out.size());
    }
    if (!spec.remove_extra_whitespaces) after_space = false;
  }
  if (spec.remove_extra_whitespaces)
    while (std::string_view(out).ends_with(space)) out.erase(out.size() - space.size());
  if (spec.suffix && add_prefix) out += space;
  return out;
}

}  // namespace turgo
