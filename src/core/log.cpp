#include "core/log.h"

#include <atomic>
#include <cstdio>

namespace turgo {
namespace {

// The one piece of process-wide state: where messages end is a property of the process, as stderr is.
std::atomic<LogLevel> g_level{LogLevel::kWarning};

}  // namespace

void set_log_level(LogLevel level) {
  g_level.store(level, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) {
  return level >= g_level.load(std::memory_order_relaxed);
}

void log_line(LogLevel level, const std::string& text) {
  const char* label =
      level >= LogLevel::kWarning ? (level == LogLevel::kWarning ? "warning: " : "error: ") : "";
  std::string line = label + text + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);  // one write: lines of several threads do not mix
}

}  // namespace turgo
