#include "text/added_tokens.h"

#include <algorithm>

#include "text/unicode.h"
#include "text/utf8.h"

namespace turgo {
namespace {

// The character that ends at byte `end` > 0.
Utf8Char char_before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && end - begin < 4 && (static_cast<uint8_t>(text[begin]) & 0xc0) == 0x80) --begin;
  return decode_utf8(text.substr(begin, end - begin));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<std::pair<std::string, const AddedToken*>> tokens)
    : tokens_(std::move(tokens)) {
  std::vector<std::pair<std::string_view, int32_t>> entries;
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].first.empty()) continue;
    entries.emplace_back(tokens_[i].first, static_cast<int32_t>(i));
    starts_[static_cast<uint8_t>(tokens_[i].first[0])] = true;
  }
  trie_ = ByteTrie(std::move(entries));
}

std::vector<AddedTokens::Hit> AddedTokens::find(std::string_view text, bool allow_control,
                                                std::span<const MarkedText::Range> protect) const {
  std::vector<Hit> hits;
  if (trie_.empty()) return hits;
  size_t done = 0;  // bytes before it belong to earlier hits
  for (size_t pos = 0; pos < text.size();) {
    if (!starts_[static_cast<uint8_t>(text[pos])]) {
      ++pos;
      continue;
    }
    while (!protect.empty() && protect.front().end <= pos) protect = protect.subspan(1);
    size_t control_end = allow_control ? text.size() : 0;  // a control token must end at or before this byte
    if (allow_control && !protect.empty()) control_end = protect.front().begin;
    const AddedToken* token = nullptr;
    size_t end = pos;
    int32_t node = ByteTrie::kRoot;
    for (size_t i = pos; i < text.size(); ++i) {
      node = trie_.step(node, static_cast<uint8_t>(text[i]));
      if (node < 0) break;
      if (trie_.value(node) < 0) continue;
      const AddedToken* candidate = tokens_[static_cast<size_t>(trie_.value(node))].second;
      if (candidate->control && i + 1 > control_end) continue;
      token = candidate;
      end = i + 1;
    }
    if (token == nullptr) {
      ++pos;
      continue;
    }
    if (token->single_word &&
        ((pos > 0 && is_word_character(char_before(text, pos).code)) ||
         (end < text.size() && is_word_character(decode_utf8(text.substr(end)).code)))) {
      pos = end;
      continue;
    }
    const size_t next =
        end;  // white space swallowed on the right may still hold tokens, as in Hugging Face's
    size_t begin = pos;
    while (token->lstrip && begin > done) {
      const Utf8Char c = char_before(text, begin);
      if (!is_white_space(c.code) || c.size > begin - done) break;
      begin -= c.size;
    }
    while (token->rstrip && end < text.size()) {
      const Utf8Char c = decode_utf8(text.substr(end));
      if (!is_white_space(c.code)) break;
      end += c.size;
    }
    hits.push_back({begin, end, token});
    done = end;
    pos = next;
  }
  return hits;
}

}  // namespace turgo
