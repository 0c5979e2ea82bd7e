// Whether a file is still what it was when it was mapped: device, inode, size and modification time.
#pragma once

#include <cstdint>
#include <string>

namespace turgo {

struct FileStamp {
  std::string path;
  uint64_t device = 0, inode = 0;
  int64_t size_bytes = 0, mtime_ns = 0;

  // Throws Error{kNotFound, kIo}. Take it before the map is made: a change in between is then noticed.
  static FileStamp of(const std::string& path);

  // Throws Error{kIo} if the same inode changed its size or was written. A file that was replaced by rename
  // or unlinked is no error: the old content stays mapped.
  void check() const;
};

}  // namespace turgo
