#include "io/file_stamp.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

bool stamp_of(const std::string& path, FileStamp* out) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return false;
  *out = {path, static_cast<uint64_t>(st.st_dev), static_cast<uint64_t>(st.st_ino),
          static_cast<int64_t>(st.st_size),
          static_cast<int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec};
  return true;
}

}  // namespace

FileStamp FileStamp::of(const std::string& path) {
  FileStamp stamp;
  if (!stamp_of(path, &stamp)) {
    int e = errno;
    fail(e == ENOENT || e == ENOTDIR ? ErrorCode::kNotFound : ErrorCode::kIo, "cannot open {}: {}",
         quote(path, 200), std::strerror(e));
  }
  return stamp;
}

void FileStamp::check() const {
  FileStamp now;
  if (!stamp_of(path, &now) || now.device != device || now.inode != inode) return;
  if (now.size_bytes != size_bytes)
    fail(ErrorCode::kIo,
         "{}: changed from {} to {} bytes while it was in use; wait until it is written, then load again",
         quote(path, 200), size_bytes, now.size_bytes);
  if (now.mtime_ns != mtime_ns)
    fail(ErrorCode::kIo, "{}: was written to while it was in use; wait until that ends, then load again",
         quote(path, 200));
}

}  // namespace turgo
