#include "core/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace turgo {
namespace {

constexpr std::chrono::milliseconds kFirst{300}, kBetween{100};

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace

std::string progress_line(const std::string& label, int64_t done_bytes, int64_t total_bytes, int columns) {
  total_bytes = std::max<int64_t>(total_bytes, 1);
  const double share =
      static_cast<double>(std::clamp<int64_t>(done_bytes, 0, total_bytes)) / static_cast<double>(total_bytes);
  std::string tail =
      fmt::format(" {:3.0f} %  {} of {} MB", 100 * share, done_bytes / 1'000'000, total_bytes / 1'000'000);
  const int room = columns - 1 - static_cast<int>(label.size() + tail.size()) - 3;
  const int width = std::clamp(room, 0, 40);
  const int filled = static_cast<int>(share * width);
  std::string bar = width < 4 ? "" : fmt::format(" [{:#<{}}{:.<{}}]", "", filled, "", width - filled);
  std::string line = fmt::format("{}{}{}", label, bar, tail);
  line.resize(std::min(line.size(), static_cast<size_t>(std::max(columns - 1, 0))));
  return line;
}

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)),
      start_(Clock::now()),
      next_(start_ + kFirst),
      is_terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (drawn_) std::fputs("\r\x1b[K", stderr);
}

void ProgressBar::show(int64_t done_bytes, int64_t total_bytes) {
  if (!is_terminal_ || total_bytes <= 0 || Clock::now() < next_) return;
  next_ = Clock::now() + kBetween;
  drawn_ = true;
  std::string line =
      fmt::format("\r{}\x1b[K", progress_line(label_, done_bytes, total_bytes, terminal_columns()));
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace turgo
