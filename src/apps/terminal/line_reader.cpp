#include "apps/terminal/line_reader.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "apps/output.h"
#include "apps/terminal/terminal.h"
#include "core/error.h"

namespace turgo {
namespace {

constexpr int kEscapeTimeoutMs = 100;  // what follows an escape byte within this time belongs to it
constexpr size_t kMaxLineBytes = size_t{64}
                                 << 20;  // far over any context; keeps /dev/zero from eating the memory

}  // namespace

LineReader::LineReader() : interactive_(is_terminal()) {}

LineReader::Result LineReader::read(const std::string& prompt, std::string& line) {
  if (interactive_) return edit(prompt, line);
  write_stdout(prompt);
  return read_plain(line);
}

LineReader::Result LineReader::read_plain(std::string& line) {
  size_t searched = 0;
  for (;;) {
    size_t end = buffer_.find('\n', searched);
    if (end == std::string::npos && at_end_) {
      if (buffer_.empty()) return Result::kEndOfInput;
      end = buffer_.size();
    }
    if (end != std::string::npos) {
      line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return Result::kLine;
    }
    searched = buffer_.size();
    if (searched > kMaxLineBytes)
      fail(ErrorCode::kInvalidArgument, "stdin: expected lines of at most {} MiB", kMaxLineBytes >> 20);
    char chunk[65536];
    ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (n > 0) buffer_.append(chunk, static_cast<size_t>(n));
    if (n == 0) at_end_ = true;
    if (n < 0 && errno == EINTR) return Result::kInterrupt;
    if (n < 0) fail(ErrorCode::kIo, "can not read stdin: {}", std::strerror(errno));
  }
}

LineReader::Result LineReader::edit(const std::string& prompt, std::string& line) {
  auto raw = std::make_unique<RawMode>();
  int row = 0;
  auto show = [&] { write_stdout(render_line(prompt, editor_, terminal_columns(), row)); };
  auto leave = [&](Result result) {
    editor_.apply({Key::Kind::kEnd, ""});
    show();
    write_stdout("\r\n");
    return result;
  };
  show();
  for (;;) {
    while (!keys_.empty()) {
      Key key = std::move(keys_.front());
      keys_.erase(keys_.begin());
      switch (editor_.apply(key)) {
        case LineEditor::Action::kNone:
          break;
        case LineEditor::Action::kSubmit:
          leave(Result::kLine);
          line = editor_.take_line();
          return Result::kLine;
        case LineEditor::Action::kInterrupt:
          leave(Result::kInterrupt);
          editor_.clear();
          return Result::kInterrupt;
        case LineEditor::Action::kEndOfInput:
          return leave(Result::kEndOfInput);
        case LineEditor::Action::kClearScreen:
          write_stdout("\x1b[H\x1b[2J");
          row = 0;
          break;
        case LineEditor::Action::kSuspend:
          raw.reset();
          suspend_process();
          raw = std::make_unique<RawMode>();
          row = 0;
      }
    }
    show();
    pollfd wait{STDIN_FILENO, POLLIN, 0};
    int ready = ::poll(&wait, 1, decoder_.waiting() ? kEscapeTimeoutMs : -1);
    if (ready == 0) decoder_.time_out();
    if (ready < 0 && errno == EINTR) continue;  // the window changed its size, or somebody sent SIGINT
    if (ready <= 0) continue;
    char chunk[4096];
    ssize_t n = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (n == 0 || (n < 0 && errno != EINTR)) return leave(Result::kEndOfInput);
    if (n > 0) keys_ = decoder_.feed({chunk, static_cast<size_t>(n)});
  }
}

}  // namespace turgo
