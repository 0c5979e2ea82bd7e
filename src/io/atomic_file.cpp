#include "io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace turgo {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

[[noreturn]] void fail_errno(const char* what, const std::string& path, int e) {
  bool full = e == ENOSPC || e == EDQUOT || e == EFBIG;
  fail(full                          ? ErrorCode::kResourceExhausted
       : e == ENOENT || e == ENOTDIR ? ErrorCode::kNotFound
                                     : ErrorCode::kIo,
       "cannot {} {}: {}{}", what, quote(path, 200), std::strerror(e),
       full ? "; free some space and try again" : "");
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("write", path, errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path, std::span<const std::string> inputs, mode_t mode)
    : path_(path) {
  struct stat target{};
  if (::stat(path.c_str(), &target) == 0) {
    for (const auto& input : inputs) {
      struct stat st{};
      if (::stat(input.c_str(), &st) == 0 && st.st_dev == target.st_dev && st.st_ino == target.st_ino)
        fail(ErrorCode::kInvalidArgument, "{}: is the input itself; expected another output path",
             quote(path, 200));
    }
    if (!S_ISREG(target.st_mode))
      fail(ErrorCode::kInvalidArgument, "{}: expected a new or regular file as output, got {}",
           quote(path, 200), S_ISDIR(target.st_mode) ? "a folder" : "a device, pipe or socket");
  }
  // O_EXCL with a fresh name rather than mkstemp: the mode follows the umask.
  for (int attempt = 0; fd_ < 0; ++attempt) {
    temp_ = fmt::format("{}.{}-{}.part", path, ::getpid(), attempt);
    fd_ = ::open(temp_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd_ < 0 && (errno != EEXIST || attempt == 1000)) fail_errno("create", path, errno);
  }
  buffer_.reserve(kBufferBytes);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temp_.c_str());
}

void AtomicFile::flush() {
  write_all(fd_, buffer_, path_);
  buffer_.clear();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  CHECK(fd_ >= 0, "write after commit of {}", path_);
  size_ += bytes.size();
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  if (bytes.size() >= kBufferBytes)
    write_all(fd_, bytes, path_);
  else
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

void AtomicFile::overwrite(uint64_t offset, std::span<const std::byte> bytes) {
  CHECK(fd_ >= 0 && offset + bytes.size() <= size_, "{} + {} of {}", offset, bytes.size(), size_);
  flush();
  while (!bytes.empty()) {
    ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno("write", path_, errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void AtomicFile::commit() {
  CHECK(fd_ >= 0, "second commit of {}", path_);
  flush();
  if (::fsync(fd_) != 0) fail_errno("write", path_, errno);
  if (::rename(temp_.c_str(), path_.c_str()) != 0) fail_errno("rename to", path_, errno);
  ::close(fd_);
  fd_ = -1;
  // The rename itself survives a power loss only once the folder is synced. Not every file system can; that
  // is no error.
  auto folder = std::filesystem::path(path_).parent_path();
  int dir = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    ::fsync(dir);
    ::close(dir);
  }
}

}  // namespace turgo
