#include "serve/proxy/state_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "io/atomic_file.h"

namespace turgo {
namespace {

constexpr size_t kMaxBytes = 64 << 20;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

}  // namespace

void StateFile::finish() {
  {
    std::lock_guard lock(mutex_);
    stops_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

std::string StateFile::read() const {
  if (path_.empty()) return "";
  Descriptor file{open(path_.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0 && errno == ENOENT) return "";
  std::string text;
  char piece[65536];
  ssize_t n = file.fd < 0 ? -1 : 0;
  while (file.fd >= 0 && (n = ::read(file.fd, piece, sizeof piece)) > 0 && text.size() <= kMaxBytes)
    text.append(piece, static_cast<size_t>(n));
  if (n < 0) fail(ErrorCode::kIo, "can not read {}: {}", quote(path_, 200), std::strerror(errno));
  if (text.size() > kMaxBytes)
    fail(ErrorCode::kCorrupt, "{} is larger than {} bytes: it is no node table", quote(path_, 200),
         kMaxBytes);
  return text;
}

void StateFile::write_now(const std::string& text) const {
  if (path_.empty()) return;
  std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  std::error_code ignored;  // AtomicFile says what is wrong with the folder
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  AtomicFile file(path_, {}, AtomicFile::kPrivate);
  file.write(text);
  file.commit();
}

void StateFile::write(std::string text, Done done) {
  std::lock_guard lock(mutex_);
  text_ = std::move(text);
  has_text_ = true;
  waiting_.push_back(std::move(done));
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

void StateFile::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return has_text_ || stops_; });
    if (!has_text_) return;
    std::string text = std::exchange(text_, {});
    std::vector<Done> waiting = std::exchange(waiting_, {});
    has_text_ = false;
    lock.unlock();
    std::string error;
    try {
      write_now(text);
    } catch (const Error& wrong) {
      error = wrong.what();
    }
    for (const Done& done : waiting) done(error);
    lock.lock();
  }
}

std::string state_folder() {
  if (const char* given = std::getenv("STATE_DIRECTORY"))
    return std::string(given).substr(0, std::strcspn(given, ":"));
  if (const char* xdg = std::getenv("XDG_STATE_HOME"); xdg && *xdg) return std::string(xdg) + "/turgo";
  const char* home = std::getenv("HOME");
  return home && *home ? std::string(home) + "/.local/state/turgo" : "";
}

}  // namespace turgo
