// One line of input at a time: with the line editor on a terminal, plainly from a pipe or file.
#pragma once

#include <string>

#include "apps/terminal/line_editor.h"

namespace turgo {

class LineReader {
 public:
  enum class Result { kLine, kInterrupt, kEndOfInput };

  LineReader();

  // Shows `prompt` and reads a line without its line end. A last line without line end counts as one. On a
  // terminal a paste may put '\n' into the line.
  Result read(const std::string& prompt, std::string& line);

  bool interactive() const { return interactive_; }

 private:
  Result read_plain(std::string& line);
  Result edit(const std::string& prompt, std::string& line);

  bool interactive_;
  LineEditor editor_;
  KeyDecoder decoder_;
  std::vector<Key> keys_;  // typed ahead, still to be applied
  std::string buffer_;     // read from the pipe, still to be cut into lines
  bool at_end_ = false;
};

}  // namespace turgo
