// The program `turgo`. This is the one place where an Error becomes an exit code: 2 and one line on stderr.
#include <csignal>
#include <cstdio>
#include <new>

#include "apps/command_line.h"
#include "apps/output.h"
#include "core/error.h"

namespace {

int report(const std::string& message, int code) {
  std::string line = "turgo: " + message;
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  std::fprintf(stderr, "%s\n", line.c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // write_stdout sees the closed pipe instead
  std::signal(SIGXFSZ, SIG_IGN);  // a write past `ulimit -f` is an error like a full disk
  try {
    return turgo::run_command_line({argv + 1, argv + argc});
  } catch (const turgo::OutputClosed&) {
    return 0;
  } catch (const turgo::Error& error) {
    return report(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return report("out of memory; a smaller --session-len or a smaller model needs less", 2);
  } catch (const std::exception& error) {
    return report(std::string("internal error, please report it: ") + error.what(), 1);
  }
}
