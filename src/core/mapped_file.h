// A read-only memory map of a whole regular file. Symbolic links are followed; directories, pipes and devices
// are refused. The size is read once, after the file is open, so that offsets are checked against what is
// mapped. Should the file shrink later, what it lost reads as zeros (core/mapping_guard.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace turgo {

class MappedFile {
 public:
  // Throws Error{kNotFound, kIo, kInvalidArgument}. An empty file maps to an empty span.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

  // Tells the kernel that these pages will not be read again (their weights are packed): they leave the
  // resident set.
  void drop(const void* begin, size_t size_bytes) const;

 private:
  MappedFile() = default;
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace turgo
