#include "models/weight_buffer.h"

#include <sys/mman.h>

#include <algorithm>

#include "core/error.h"
#include "kernels/common/packed_weight.h"

namespace turgo {

std::byte* WeightArena::take(int64_t size_bytes) {
  if (used_ + size_bytes > memory_.size()) return nullptr;
  std::byte* p = memory_.data() + used_;
  used_ += size_bytes;
  return p;
}

WeightBuffer::WeightBuffer(int64_t size_bytes, std::shared_ptr<WeightArena> arena)
    : arena_(std::move(arena)), size_(rounded(std::max<int64_t>(size_bytes, 1))) {
  if (arena_) data_ = arena_->take(size_);
  if (data_) return;
  own_ = ReservedMemory(size_);
  data_ = own_.data();
  if (!data_)
    fail(ErrorCode::kResourceExhausted,
         "cannot allocate {:.1f} MB for weights; free memory or use a smaller or more quantised model",
         static_cast<double>(size_) / 1e6);
}

// A layer that is let go before the others leaves the resident set; its addresses stay with the arena.
WeightBuffer::~WeightBuffer() {
  if (own_.data()) return;
  constexpr uintptr_t kPage = 4096;
  uintptr_t first = (reinterpret_cast<uintptr_t>(data_) + kPage - 1) / kPage * kPage;
  uintptr_t last = (reinterpret_cast<uintptr_t>(data_) + static_cast<uintptr_t>(size_)) / kPage * kPage;
  if (last > first && arena_.use_count() > 1)
    ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
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
