#include "core/mapping_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

namespace turgo {
namespace {

// The handler of a signal is a property of the process, and may neither lock nor allocate.
struct Mapping {
  std::atomic<uintptr_t> begin{0}, end{0};  // end 0: not guarded
};
std::array<Mapping, 1024> g_mappings;
std::mutex g_mutex;  // of those who change them
struct sigaction g_previous;
uintptr_t g_page_bytes = 4096;

// From the page of the fault to the mapping's end: what lies past the end of a file stays past it, until the
// file grows again. Zero pages over zero pages do no harm where several threads come here at once.
bool cover(uintptr_t address) {
  for (const Mapping& m : g_mappings) {
    uintptr_t end = m.end.load(std::memory_order_acquire);
    if (address >= end || address < m.begin.load(std::memory_order_relaxed)) continue;
    uintptr_t page = address / g_page_bytes * g_page_bytes;
    // The bare call: TSan takes mmap() for a write to every byte, and other threads may be reading them.
    return ::syscall(SYS_mmap, page, end - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) !=
           -1;
  }
  return false;
}

void on_bus_error(int number, siginfo_t* info, void* context) {
  int error = errno;
  bool is_fault = info->si_code > 0;  // raised by an access, not sent by somebody
  if (is_fault && cover(reinterpret_cast<uintptr_t>(info->si_addr))) {
    errno = error;
    return;
  }
  if (g_previous.sa_flags & SA_SIGINFO) return g_previous.sa_sigaction(number, info, context);
  if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN)
    return g_previous.sa_handler(number);
  ::sigaction(number, &g_previous, nullptr);  // the access is repeated, and ends the process
  if (!is_fault) ::raise(number);
}

void install() {
  g_page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &g_previous);
}

}  // namespace

void guard_mapping(const void* begin, size_t size_bytes) {
  static std::once_flag installed;
  std::call_once(installed, install);
  std::lock_guard lock(g_mutex);
  for (Mapping& m : g_mappings) {
    if (m.end.load(std::memory_order_relaxed) != 0) continue;
    m.begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_relaxed);
    m.end.store(reinterpret_cast<uintptr_t>(begin) + size_bytes, std::memory_order_release);
    return;
  }
}

void unguard_mapping(const void* begin) {
  std::lock_guard lock(g_mutex);
  for (Mapping& m : g_mappings)
    if (m.end.load(std::memory_order_relaxed) != 0 &&
        m.begin.load(std::memory_order_relaxed) == reinterpret_cast<uintptr_t>(begin))
      m.end.store(0, std::memory_order_release);
}

}  // namespace turgo
