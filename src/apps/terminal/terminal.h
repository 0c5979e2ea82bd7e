// The terminal's modes and the signals of an interactive program.
#pragma once

#include <string>

namespace turgo {

bool is_terminal();      // stdin and stdout both are one
int terminal_columns();  // 80 where the terminal does not tell

// Raw mode with bracketed paste while it lives: nothing is echoed, keys wait to be read. Whatever ends or
// stops the process by a signal (TERM, HUP, QUIT, TSTP) restores the terminal first. At most one at a time.
// kKeys: Ctrl-C, Ctrl-Z and Ctrl-\ are keys as all others; kSignals: they send their signals, as they should
// while the program computes and reads no keys.
class RawMode {
 public:
  enum class Control { kKeys, kSignals };
  explicit RawMode(Control control = Control::kKeys);
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
