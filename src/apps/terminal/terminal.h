// The terminal's modes and the signals of an interactive program.
#pragma once

#include <string>

namespace turgo {

bool is_terminal();      // stdin and stdout both are one
int terminal_columns();  // 80 where the terminal does not tell

// Raw mode with bracketed paste while it lives. Whatever ends the process by a signal (TERM, HUP, QUIT)
// restores the terminal first. At most one at a time.
class RawMode {
 public:
  RawMode();
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;
};

// Ctrl-C as a question instead of an end, while it lives. System calls are interrupted by the signal.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  bool pressed() const;
  void reset();
};

void suspend_process();  // Ctrl-Z; returns when the shell continues us

}  // namespace turgo
