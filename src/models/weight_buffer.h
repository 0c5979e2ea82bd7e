// Memory that holds weights, filled while loading, read-only by custom afterwards. A model reserves one range
// of addresses, its layers take their buffers from it one behind the other, so that all but the last bytes
// lie in huge pages. Pieces are handed out front to back, each kPackedAlign aligned: a layer's weights are
// streamed in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/reserved_memory.h"

namespace turgo {

class WeightArena {
 public:
  explicit WeightArena(int64_t most_bytes) : memory_(most_bytes) {}
  std::byte* take(int64_t size_bytes);  // null if there is no such room left
  void trim() { memory_.trim(used_); }  // nothing more will be taken

 private:
  ReservedMemory memory_;
  int64_t used_ = 0;
};

class WeightBuffer {
 public:
  // From the arena if it has room, else memory of its own; Error{kResourceExhausted} if the system refuses.
  // Pages become resident as they are written.
  explicit WeightBuffer(int64_t size_bytes, std::shared_ptr<WeightArena> arena = nullptr);
  ~WeightBuffer();
  WeightBuffer(const WeightBuffer&) = delete;
  WeightBuffer& operator=(const WeightBuffer&) = delete;

  // The next size_bytes bytes (CHECK: the constructor was told enough).
  std::byte* take(int64_t size_bytes);
  static int64_t rounded(int64_t size_bytes);  // what take() uses up

 private:
  std::shared_ptr<WeightArena> arena_;
  ReservedMemory own_;
  std::byte* data_ = nullptr;
  int64_t size_ = 0, used_ = 0;
};

}  // namespace turgo
