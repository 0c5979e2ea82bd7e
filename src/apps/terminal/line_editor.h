// The text of one input, its cursor and the history: pure logic, no terminal. The cursor is a byte offset
// that always lies between two grapheme clusters.
#pragma once

#include <string>
#include <vector>

#include "apps/terminal/key_decoder.h"

namespace turgo {

class LineEditor {
 public:
  enum class Action { kNone, kSubmit, kInterrupt, kEndOfInput, kClearScreen, kSuspend };

  // Ctrl-D ends the input only where the line is empty; elsewhere it deletes forwards.
  Action apply(const Key& key);

  const std::string& text() const { return text_; }
  size_t cursor() const { return cursor_; }

  // Ends this line: it becomes the newest entry of the history (unless empty or a repetition) and a fresh one
  // begins.
  std::string take_line();
  void clear();

 private:
  void insert(const std::string& text);
  void erase(size_t begin, size_t end, bool to_kill_buffer);
  void walk_history(int step);
  size_t word_left() const;
  size_t word_right() const;

  std::string text_, kill_buffer_;
  size_t cursor_ = 0;
  std::vector<std::string> history_;
  size_t place_ = 0;   // in history_; its size = the line being written
  std::string draft_;  // that line, while an older one is shown
};

// What must be written so that a screen of `columns` shows prompt and text with the cursor at its place.
// `cursor_row` is where the previous render left the cursor, counted from the prompt's row; it is updated.
std::string render_line(const std::string& prompt, const LineEditor& editor, int columns, int& cursor_row);

}  // namespace turgo
