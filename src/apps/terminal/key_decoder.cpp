#include "apps/terminal/key_decoder.h"

#include <algorithm>
#include <optional>

#include "apps/terminal/display_width.h"

namespace turgo {
namespace {

using Kind = Key::Kind;
constexpr char kEscape = '\x1b';
constexpr std::string_view kPasteEnd = "\x1b[201~";
constexpr size_t kMaxSequence = 32;  // longer escape sequences are noise

std::optional<Kind> control_key(char c) {
  switch (c) {
    case 1:
      return Kind::kHome;
    case 2:
      return Kind::kLeft;
    case 3:
      return Kind::kInterrupt;
    case 4:
      return Kind::kEndOfInput;
    case 5:
      return Kind::kEnd;
    case 6:
      return Kind::kRight;
    case 8:
    case 127:
      return Kind::kBackspace;
    case '\r':
    case '\n':
      return Kind::kEnter;
    case 11:
      return Kind::kKillToEnd;
    case 12:
      return Kind::kClearScreen;
    case 14:
      return Kind::kDown;
    case 16:
      return Kind::kUp;
    case 21:
      return Kind::kKillToStart;
    case 23:
      return Kind::kKillWord;
    case 25:
      return Kind::kYank;
    case 26:
      return Kind::kSuspend;
    default:
      return std::nullopt;
  }
}

std::optional<Kind> csi_key(std::string_view parameters, char last) {
  bool word = parameters.ends_with(";5") || parameters.ends_with(";3");  // with Ctrl or Alt
  switch (last) {
    case 'A':
      return Kind::kUp;
    case 'B':
      return Kind::kDown;
    case 'C':
      return word ? Kind::kWordRight : Kind::kRight;
    case 'D':
      return word ? Kind::kWordLeft : Kind::kLeft;
    case 'H':
      return Kind::kHome;
    case 'F':
      return Kind::kEnd;
    case '~':
      if (parameters == "1" || parameters == "7") return Kind::kHome;
      if (parameters == "4" || parameters == "8") return Kind::kEnd;
      if (parameters == "3") return Kind::kDelete;
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

// Pasted text: line ends become '\n', tabs spaces; other control bytes and broken UTF-8 go.
std::string clean_paste(std::string_view bytes) {
  std::string out;
  for (size_t i = 0; i < bytes.size();) {
    size_t length = utf8_length(bytes.substr(i));
    if (length == 0) {
      ++i;
      continue;
    }
    char c = bytes[i];
    if (c == '\r') {
      out += '\n';
      if (i + 1 < bytes.size() && bytes[i + 1] == '\n') ++i;
    } else if (c == '\t') {
      out += "    ";
    } else if (c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 127)) {
      out.append(bytes.substr(i, length));
    }
    i += length;
  }
  return out;
}

}  // namespace

std::vector<Key> KeyDecoder::feed(std::string_view bytes) {
  pending_.append(bytes);
  std::vector<Key> keys;
  while (!pending_.empty() && take_one(keys)) {
  }
  return keys;
}

void KeyDecoder::time_out() {
  if (!in_paste_) pending_.clear();
}

bool KeyDecoder::take_one(std::vector<Key>& keys) {
  if (in_paste_) return take_paste(keys);
  char c = pending_[0];
  if (c == kEscape) return take_escape(keys);
  if (static_cast<unsigned char>(c) < 0x20 || c == 127) {
    if (auto kind = control_key(c)) keys.push_back({*kind, ""});
    if (c == '\t') keys.push_back({Kind::kText, "    "});
    pending_.erase(0, 1);
    return true;
  }
  return take_character(keys);
}

bool KeyDecoder::take_character(std::vector<Key>& keys) {
  auto first = static_cast<unsigned char>(pending_[0]);
  size_t wanted = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  size_t length = utf8_length(pending_);
  if (length == 0) {
    bool may_continue =
        first >= 0xc2 && first < 0xf5 && pending_.size() < wanted &&
        std::all_of(pending_.begin() + 1, pending_.end(), [](char c) { return (c & 0xc0) == 0x80; });
    if (may_continue) return false;
    pending_.erase(0, 1);
    return true;
  }
  keys.push_back({Kind::kText, pending_.substr(0, length)});
  pending_.erase(0, length);
  return true;
}

bool KeyDecoder::take_escape(std::vector<Key>& keys) {
  if (pending_.size() < 2) return false;
  char second = pending_[1];
  if (second != '[' && second != 'O') {  // Alt and a key
    if (second == 'b') keys.push_back({Kind::kWordLeft, ""});
    if (second == 'f') keys.push_back({Kind::kWordRight, ""});
    if (second == 127) keys.push_back({Kind::kKillWord, ""});
    pending_.erase(0, second == kEscape ? 1 : 2);
    return true;
  }
  size_t end = 2;
  while (end < pending_.size() && end < kMaxSequence && pending_[end] >= 0x20 && pending_[end] < 0x40) ++end;
  if (end == pending_.size()) return false;
  std::string_view parameters(pending_.data() + 2, end - 2);
  if (parameters == "200" && pending_[end] == '~') {
    in_paste_ = true;
  } else if (auto kind = csi_key(parameters, pending_[end])) {
    keys.push_back({*kind, ""});
  }
  pending_.erase(0, end + 1);
  return true;
}

bool KeyDecoder::take_paste(std::vector<Key>& keys) {
  size_t end = pending_.find(kPasteEnd);
  if (end == std::string::npos) return false;
  keys.push_back({Kind::kText, clean_paste(std::string_view(pending_).substr(0, end))});
  pending_.erase(0, end + kPasteEnd.size());
  in_paste_ = false;
  return true;
}

}  // namespace turgo
