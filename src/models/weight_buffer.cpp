#include "models/weight_buffer.h"

#include <sys/mman.h>

#include <algorithm>

#include "core/error.h"
#include "kernels/common/packed_weight.h"

namespace turgo {

WeightBuffer::WeightBuffer(int64_t size_bytes) : size_(std::max<int64_t>(size_bytes, kPackedAlign)) {
  void* p =
      ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    fail(ErrorCode::kResourceExhausted,
         "cannot allocate {:.1f} MB for weights; free memory or use a smaller or more quantised model",
         static_cast<double>(size_) / 1e6);
  // Fewer page-table walks while weights stream; a kernel without huge pages may refuse, which costs nothing.
  ::madvise(p, static_cast<size_t>(size_), MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(p);
}

WeightBuffer::~WeightBuffer() {
  ::munmap(data_, static_cast<size_t>(size_));
}

int64_t WeightBuffer::rounded(int64_t size_bytes) {
  return (size_bytes + kPackedAlign - 1) / kPackedAlign * kPackedAlign;
}

std::byte* WeightBuffer::take(int64_t size_bytes) {
  CHECK(size_bytes >= 0 && used_ + size_bytes <= size_, "{} of {} bytes used, {} wanted", used_, size_,
        size_bytes);
  std::byte* p = data_ + used_;
  used_ += rounded(size_bytes);
  return p;
}

}  // namespace turgo
