// A file that appears whole or not at all: bytes go to a temporary file in the same folder, commit() syncs it
// and renames it over the target. Without commit the temporary file is removed, whatever went wrong (a kill
// -9 may leave it; its name ends in ".part").
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace turgo {

class AtomicFile {
 public:
  // Throws Error{kInvalidArgument} if `path` is one of `inputs` (the same inode, also through links) or no
  // regular file, Error{kNotFound} if its folder does not exist, Error{kIo}. `mode` as for open(): the umask
  // applies; kPrivate for what its owner alone may read.
  static constexpr mode_t kPrivate = 0600;
  explicit AtomicFile(const std::string& path, std::span<const std::string> inputs = {}, mode_t mode = 0666);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Both throw Error{kResourceExhausted} for a full disk or quota, Error{kIo} otherwise.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  // Overwrites bytes that were written before; [offset, offset + size) must lie inside the file so far.
  void overwrite(uint64_t offset, std::span<const std::byte> bytes);

  uint64_t size_bytes() const { return size_; }
  const std::string& path() const { return path_; }

  void commit();

 private:
  void flush();

  std::string path_, temp_;
  int fd_ = -1;
  uint64_t size_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace turgo
