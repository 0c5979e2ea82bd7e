#include "serve/observe/access_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>

#include "core/error.h"
#include "core/json.h"

namespace turgo {
namespace {

constexpr size_t kMaxLines = 16384;  // of 300 bytes: 5 MB while the disk does not answer

// "2026-11-28T09:12:33.123456Z"
std::string utc_time(std::chrono::system_clock::time_point time) {
  auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
  std::time_t seconds = micros / 1000000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:06d}Z", std::string_view(text, size), micros % 1000000);
}

double rounded(double seconds) {
  return std::round(seconds * 1e6) / 1e6;
}

}  // namespace

std::string access_line(const HttpLogEntry& entry, const std::string& route) {
  Json line = {{"time", utc_time(entry.begin)},
               {"trace_id", entry.trace.trace_id},
               {"span_id", entry.trace.span_id},
               {"request_id", entry.request_id},
               {"client", entry.client},
               {"method", entry.method.substr(0, 32)},
               {"path", entry.path.substr(0, 256)},
               {"route", route},
               {"status", entry.status},
               {"bytes", entry.bytes},
               {"seconds", rounded(entry.seconds)}};
  if (!entry.caller.empty()) line["caller"] = entry.caller;
  if (!entry.error.empty()) line["error"] = entry.error;
  if (entry.aborted) line["aborted"] = true;
  const AnswerNote& answer = entry.answer;
  if (!answer.model.empty()) {
    line["model"] = answer.model;
    line["prompt_tokens"] = answer.prompt_tokens;
    line["cached_tokens"] = answer.cached_tokens;
    line["output_tokens"] = answer.output_tokens;
    line["queue_seconds"] = rounded(answer.queue_seconds);
    line["ttft_seconds"] = rounded(answer.ttft_seconds);
    line["finish_reason"] = answer.finish.empty() ? "abort" : answer.finish;
    if (!answer.error.empty()) line["error"] = answer.error;
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

AccessLog::File::File(const std::string& path) : fd(STDERR_FILENO) {
  if (path == "-") return;
  fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0640);
  if (fd < 0)
    fail(ErrorCode::kIo, "--access-log {}: expected a file that can be written: {}", quote(path, 200),
         std::strerror(errno));
}

AccessLog::File::~File() {
  if (fd != STDERR_FILENO) ::close(fd);
}

AccessLog::AccessLog(std::string path)
    : path_(std::move(path)),
      file_(std::make_unique<File>(path_)),
      lines_(kMaxLines, std::chrono::milliseconds(100),
             [this](std::vector<std::string> lines) { put(lines); }) {}

void AccessLog::write(const HttpLogEntry& entry, const std::string& route) {
  lines_.push(access_line(entry, route));
}

void AccessLog::reopen() {
  auto fresh = std::make_unique<File>(path_);
  std::lock_guard lock(mutex_);
  file_ = std::move(fresh);
}

void AccessLog::put(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line;
  std::lock_guard lock(mutex_);
  for (size_t done = 0; done < text.size();) {
    ssize_t n = ::write(file_->fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return lines_.count_dropped(lines.size());  // a full disk: later lines may fit again
    done += static_cast<size_t>(n);
  }
}

}  // namespace turgo
