// A bar on stderr for work that may take seconds. A person at a terminal sees it; on a pipe, and for work
// that ends soon, nothing is written. It erases itself, so that what follows starts on a clean line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace turgo {

class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // At most ten times a second, and not within the first 0.3 s. `total_bytes` 0 shows nothing.
  void show(int64_t done_bytes, int64_t total_bytes);

 private:
  using Clock = std::chrono::steady_clock;
  std::string label_;
  Clock::time_point start_, next_;
  bool is_terminal_, drawn_ = false;
};

// "loading [#####.....]  50 %  49 of 98 MB", at most `columns` wide; the bar shrinks first.
std::string progress_line(const std::string& label, int64_t done_bytes, int64_t total_bytes, int columns);

}  // namespace turgo
