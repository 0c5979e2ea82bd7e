#include "core/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/mapping_guard.h"

namespace turgo {

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: a FIFO must not hang the open.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    int e = errno;
    fail(e == ENOENT || e == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo, "cannot open {}: {}",
         quote(path, 200), std::strerror(e));
  }
  struct stat st{};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    ::close(fd);
    fail(ErrorCode::kInvalidArgument, "{}: expected a regular file, got {}", quote(path, 200),
         S_ISDIR(st.st_mode) ? "a folder" : "a device, pipe or socket");
  }
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->path_ = path;
  file->size_ = static_cast<size_t>(st.st_size);
  if (file->size_ > 0) {
    void* p = ::mmap(nullptr, file->size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) {
      int e = errno;
      file->size_ = 0;
      ::close(fd);
      fail(ErrorCode::kIo, "cannot map {} ({} bytes): {}", quote(path, 200), st.st_size, std::strerror(e));
    }
    file->data_ = static_cast<const std::byte*>(p);
    guard_mapping(p, file->size_);
  }
  ::close(fd);
  return file;
}

MappedFile::~MappedFile() {
  if (!data_) return;
  unguard_mapping(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(const void* begin, size_t size_bytes) const {
  auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  auto first = (reinterpret_cast<uintptr_t>(begin) + page - 1) / page * page;
  auto last = (reinterpret_cast<uintptr_t>(begin) + size_bytes) / page * page;
  if (last > first) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace turgo
