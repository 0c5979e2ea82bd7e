// Bytes of a terminal -> keys. Knows ANSI/xterm escape sequences, bracketed paste and UTF-8; sequences may be
// cut anywhere between two feeds. Bytes that are no valid UTF-8 and unknown sequences are dropped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace turgo {

struct Key {
  enum class Kind {
    kText,  // one character, or a whole paste (may hold '\n')
    kEnter,
    kBackspace,
    kDelete,  // forwards; Ctrl-D is kEndOfInput
    kLeft,
    kRight,
    kWordLeft,
    kWordRight,
    kUp,
    kDown,
    kHome,
    kEnd,
    kKillToEnd,    // Ctrl-K
    kKillToStart,  // Ctrl-U
    kKillWord,     // Ctrl-W
    kYank,         // Ctrl-Y
    kClearScreen,  // Ctrl-L
    kInterrupt,    // Ctrl-C
    kEndOfInput,   // Ctrl-D
    kSuspend,      // Ctrl-Z
  };
  Kind kind;
  std::string text;
};

class KeyDecoder {
 public:
  std::vector<Key> feed(std::string_view bytes);
  // Nothing came for a while: an escape that waits for its sequence was the Escape key, which does nothing.
  void time_out();
  bool waiting() const { return !pending_.empty(); }

 private:
  bool take_one(std::vector<Key>& keys);  // false: needs more bytes
  bool take_escape(std::vector<Key>& keys);
  bool take_paste(std::vector<Key>& keys);
  bool take_character(std::vector<Key>& keys);

  std::string pending_;
  bool in_paste_ = false;
};

}  // namespace turgo
