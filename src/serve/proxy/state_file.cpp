#include "serve/proxy/state_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

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
  std::string beside = path_ + ".new";
  auto wrong = [&] {
    std::string why = std::strerror(errno);
    ::unlink(beside.c_str());
    fail(ErrorCode::kIo, "can not write {}: {}", quote(path_, 200), why);
  };
  std::error_code ignored;
  std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  if (!folder.empty()) std::filesystem::create_directories(folder, ignored);
  {
    Descriptor file{open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (file.fd < 0) wrong();
    for (size_t at = 0; at < text.size();) {
      ssize_t n = ::write(file.fd, text.data() + at, text.size() - at);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) wrong();
      at += static_cast<size_t>(n);
    }
    if (fsync(file.fd) != 0) wrong();
  }
  if (rename(beside.c_str(), path_.c_str()) != 0) wrong();
  Descriptor parent{open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (parent.fd >= 0) fsync(parent.fd);  // the rename; file systems without it have it anyway
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
