// Memory that holds weights: one anonymous map, filled while loading, read-only by custom afterwards. Pieces
// are handed out front to back, each kPackedAlign aligned, so that a layer's weights are streamed in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace turgo {

class WeightBuffer {
 public:
  // Error{kResourceExhausted} if the system refuses. Pages become resident as they are written.
  explicit WeightBuffer(int64_t size_bytes);
  ~WeightBuffer();
  WeightBuffer(const WeightBuffer&) = delete;
  WeightBuffer& operator=(const WeightBuffer&) = delete;

  // The next size_bytes bytes (CHECK: the constructor was told enough).
  std::byte* take(int64_t size_bytes);
  static int64_t rounded(int64_t size_bytes);  // what take() uses up

 private:
  std::byte* data_ = nullptr;
  int64_t size_ = 0, used_ = 0;
};

}  // namespace turgo
