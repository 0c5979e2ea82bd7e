#include "serve/grammar/rehearsal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <new>

#include "core/error.h"

namespace turgo {
namespace {

constexpr int kThrew = 3, kNoMemory = 4;
constexpr size_t kMaxMessage = 4096;
constexpr char kErrorMark = 1;  // in front of what was thrown

// Bytes of private memory that the process may write to, as RLIMIT_DATA counts them.
size_t data_bytes() {
  unsigned long pages[6] = {};
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%lu %lu %lu %lu %lu %lu", &pages[0], &pages[1], &pages[2], &pages[3], &pages[4],
                    &pages[5]) != 6)
      pages[5] = 0;
    std::fclose(file);
  }
  return pages[5] * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

[[noreturn]] void be_the_child(int out, const std::function<void()>& work, const RehearsalLimits& limits) {
  ::dup2(out, STDERR_FILENO);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_DFL);
  for (int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGXCPU}) ::signal(number, SIG_DFL);
  rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);
  auto seconds = static_cast<rlim_t>(std::ceil(limits.seconds));
  rlimit cpu{seconds, seconds + 1};
  ::setrlimit(RLIMIT_CPU, &cpu);
  if (size_t used = data_bytes(); used > 0) {
    rlimit data{used + limits.num_bytes, used + limits.num_bytes};
    ::setrlimit(RLIMIT_DATA, &data);
  }
  try {
    work();
    ::_exit(0);
  } catch (const std::bad_alloc&) {
    ::_exit(kNoMemory);
  } catch (const std::exception& error) {
    std::string text = kErrorMark + std::string(error.what());
    text.resize(std::min(text.size(), kMaxMessage));
    for (char& c : text) c = c == '\n' ? ' ' : c;
    [[maybe_unused]] ssize_t n = ::write(out, text.data(), text.size());
    ::_exit(kThrew);
  } catch (...) {
    ::_exit(kThrew);
  }
}

}  // namespace

std::string rehearse(const std::string& what, const std::function<void()>& work,
                     const RehearsalLimits& limits) {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) fail(ErrorCode::kResourceExhausted, "{}: no descriptors are left", what);
  pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe[0]);
    be_the_child(pipe[1], work, limits);
  }
  ::close(pipe[1]);
  if (child < 0) {
    ::close(pipe[0]);
    fail(ErrorCode::kResourceExhausted, "{}: no process could be made to check it", what);
  }
  using Clock = std::chrono::steady_clock;
  auto end = Clock::now() + std::chrono::milliseconds(static_cast<int>(limits.seconds * 5000));
  std::string message;
  for (;;) {  // the end of the pipe is the end of the child
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd poll_for{pipe[0], POLLIN, 0};
    int ready = left > 0 ? ::poll(&poll_for, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    char buffer[kMaxMessage];
    ssize_t n = ready > 0 ? ::read(pipe[0], buffer, sizeof buffer) : 0;
    if (n <= 0) break;
    message.append(buffer, std::min(static_cast<size_t>(n), 2 * kMaxMessage - message.size()));
  }
  ::close(pipe[0]);
  ::kill(child, SIGKILL);  // it has exited, or its time is over
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  bool exited = WIFEXITED(status);
  if (exited && WEXITSTATUS(status) == 0) return message;
  if (exited && WEXITSTATUS(status) == kThrew)
    fail(ErrorCode::kInvalidArgument, "{}", message.substr(message.find(kErrorMark) + 1));
  if (exited && WEXITSTATUS(status) == kNoMemory)
    fail(ErrorCode::kTooLong, "{}: needs more than {} MiB of memory; expected a smaller one", what,
         limits.num_bytes >> 20);
  fail(ErrorCode::kTooLong,
       "{}: takes more than {} s to compile, or nests too deeply; expected a simpler one", what,
       limits.seconds);
}

}  // namespace turgo
