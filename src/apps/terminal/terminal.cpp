#include "apps/terminal/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <csignal>

namespace turgo {
namespace {

// Signal handlers reach nothing but globals.
termios g_cooked, g_raw;
std::atomic<bool> g_is_raw{false};
volatile std::sig_atomic_t g_interrupted = 0;

constexpr char kPasteOn[] = "\x1b[?2004h", kPasteOff[] = "\x1b[?2004l";
constexpr int kFatal[] = {SIGTERM, SIGHUP, SIGQUIT};

void restore() {  // safe inside a signal handler
  if (!g_is_raw.exchange(false)) return;
  [[maybe_unused]] ssize_t ignored = ::write(STDOUT_FILENO, kPasteOff, sizeof(kPasteOff) - 1);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &g_cooked);
}

void on_fatal(int number) {
  restore();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void enter() {  // safe inside a signal handler
  g_is_raw.store(true);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &g_raw);
  [[maybe_unused]] ssize_t ignored = ::write(STDOUT_FILENO, kPasteOn, sizeof(kPasteOn) - 1);
}

void on_stop(int) {
  restore();
  ::raise(SIGSTOP);
  enter();  // the shell has continued us
}

void on_interrupt(int) {
  g_interrupted = 1;
}

void handle(int number, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;  // no SA_RESTART: a blocked read must return
  ::sigaction(number, &action, nullptr);
}

}  // namespace

bool is_terminal() {
  return ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
}

int terminal_columns() {
  winsize size{};
  return ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

RawMode::RawMode(Control control) {
  if (::tcgetattr(STDIN_FILENO, &g_cooked) != 0) return;
  for (int number : kFatal) handle(number, on_fatal);
  g_raw = g_cooked;
  g_raw.c_iflag &= ~static_cast<tcflag_t>(BRKINT | ICRNL | INPCK | ISTRIP | IXON);
  g_raw.c_lflag &= ~static_cast<tcflag_t>(ECHO | ICANON | IEXTEN);
  if (control == Control::kSignals)
    handle(SIGTSTP, on_stop);
  else
    g_raw.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  g_raw.c_cc[VMIN] = 1;
  g_raw.c_cc[VTIME] = 0;
  enter();
}

RawMode::~RawMode() {
  restore();
  for (int number : kFatal) ::signal(number, SIG_DFL);
  ::signal(SIGTSTP, SIG_DFL);
}

InterruptGuard::InterruptGuard() {
  g_interrupted = 0;
  handle(SIGINT, on_interrupt);
}

InterruptGuard::~InterruptGuard() {
  ::signal(SIGINT, SIG_DFL);
}

bool InterruptGuard::pressed() const {
  return g_interrupted != 0;
}

void InterruptGuard::reset() {
  g_interrupted = 0;
}

void suspend_process() {
  ::kill(0, SIGTSTP);  // the whole job, as the terminal driver does
}

}  // namespace turgo
