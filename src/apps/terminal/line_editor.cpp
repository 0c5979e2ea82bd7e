#include "apps/terminal/line_editor.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "apps/terminal/display_width.h"

namespace turgo {

LineEditor::Action LineEditor::apply(const Key& key) {
  using Kind = Key::Kind;
  switch (key.kind) {
    case Kind::kText:
      insert(key.text);
      break;
    case Kind::kEnter:
      return Action::kSubmit;
    case Kind::kBackspace:
      erase(previous_grapheme(text_, cursor_), cursor_, false);
      break;
    case Kind::kDelete:
      erase(cursor_, next_grapheme(text_, cursor_), false);
      break;
    case Kind::kLeft:
      cursor_ = previous_grapheme(text_, cursor_);
      break;
    case Kind::kRight:
      cursor_ = next_grapheme(text_, cursor_);
      break;
    case Kind::kWordLeft:
      cursor_ = word_left();
      break;
    case Kind::kWordRight:
      cursor_ = word_right();
      break;
    case Kind::kUp:
      walk_history(-1);
      break;
    case Kind::kDown:
      walk_history(+1);
      break;
    case Kind::kHome:
      cursor_ = 0;
      break;
    case Kind::kEnd:
      cursor_ = text_.size();
      break;
    case Kind::kKillToEnd:
      erase(cursor_, text_.size(), true);
      break;
    case Kind::kKillToStart:
      erase(0, cursor_, true);
      break;
    case Kind::kKillWord:
      erase(word_left(), cursor_, true);
      break;
    case Kind::kYank:
      insert(kill_buffer_);
      break;
    case Kind::kClearScreen:
      return Action::kClearScreen;
    case Kind::kInterrupt:
      return Action::kInterrupt;
    case Kind::kSuspend:
      return Action::kSuspend;
    case Kind::kEndOfInput:
      if (text_.empty()) return Action::kEndOfInput;
      erase(cursor_, next_grapheme(text_, cursor_), false);
  }
  return Action::kNone;
}

void LineEditor::insert(const std::string& text) {
  text_.insert(cursor_, text);
  // A combining mark joins the cluster before it, and a zero-width joiner the one after: step to a boundary.
  size_t wanted = cursor_ + text.size(), place = 0;
  while (place < wanted) place = next_grapheme(text_, place);
  cursor_ = place;
}

void LineEditor::erase(size_t begin, size_t end, bool to_kill_buffer) {
  if (begin == end) return;
  if (to_kill_buffer) kill_buffer_ = text_.substr(begin, end - begin);
  text_.erase(begin, end - begin);
  cursor_ = 0;
  while (cursor_ < begin) cursor_ = next_grapheme(text_, cursor_);
}

void LineEditor::walk_history(int step) {
  if ((step < 0 && place_ == 0) || (step > 0 && place_ == history_.size())) return;
  if (place_ == history_.size()) draft_ = text_;
  place_ = step < 0 ? place_ - 1 : place_ + 1;
  text_ = place_ == history_.size() ? draft_ : history_[place_];
  cursor_ = text_.size();
}

size_t LineEditor::word_left() const {
  size_t place = cursor_;
  auto before = [&] { return text_[place - 1]; };
  while (place > 0 && (before() == ' ' || before() == '\n')) --place;
  while (place > 0 && before() != ' ' && before() != '\n') --place;
  return place;
}

size_t LineEditor::word_right() const {
  size_t place = cursor_;
  while (place < text_.size() && (text_[place] == ' ' || text_[place] == '\n')) ++place;
  while (place < text_.size() && text_[place] != ' ' && text_[place] != '\n') ++place;
  return place;
}

std::string LineEditor::take_line() {
  std::string line = std::exchange(text_, "");
  if (!line.empty() && (history_.empty() || history_.back() != line)) history_.push_back(line);
  clear();
  return line;
}

void LineEditor::clear() {
  text_.clear();
  draft_.clear();
  cursor_ = 0;
  place_ = history_.size();
}

std::string render_line(const std::string& prompt, const LineEditor& editor, int columns, int& cursor_row) {
  columns = std::max(columns, 2);
  std::string out = "\r";
  if (cursor_row > 0) out += fmt::format("\x1b[{}A", cursor_row);
  out += "\x1b[J";

  int row = 0, column = 0, cursor_column = 0;
  auto new_row = [&] {
    out += "\r\n";
    ++row;
    column = 0;
  };
  auto put = [&](const std::string& text, size_t cursor) {
    for (size_t begin = 0; begin <= text.size();) {
      size_t end = next_grapheme(text, begin);
      std::string_view cluster(text.data() + begin, end - begin);
      int width = cluster == "\n" ? 0 : grapheme_width(cluster);
      if (column + std::max(width, 1) > columns) new_row();  // a wide character does not straddle the edge
      if (begin == cursor) {
        cursor_row = row;
        cursor_column = column;
      }
      if (begin == text.size()) break;
      if (cluster == "\n") {
        new_row();
      } else {
        out += cluster;
        column += width;
      }
      begin = end;
    }
  };
  put(prompt, std::string::npos);
  put(editor.text(), editor.cursor());
  if (row > cursor_row) out += fmt::format("\x1b[{}A", row - cursor_row);
  out += '\r';
  if (cursor_column > 0) out += fmt::format("\x1b[{}C", cursor_column);
  return out;
}

}  // namespace turgo
