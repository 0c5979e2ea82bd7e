#include "core/reserved_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <utility>

namespace turgo {
namespace {

constexpr int64_t kPage = 4096;

int64_t round_up(int64_t n, int64_t unit) {
  return (n + unit - 1) / unit * unit;
}

void unmap(std::byte* begin, std::byte* end) {
  if (end > begin) ::munmap(begin, static_cast<size_t>(end - begin));
}

}  // namespace

ReservedMemory::ReservedMemory(int64_t size_bytes, bool guarded) {
  const bool huge = size_bytes >= kHugePage;
  const int64_t size = round_up(std::max<int64_t>(size_bytes, 1), kPage);
  const int64_t mapped = huge ? size + kHugePage : size;
  void* p = ::mmap(nullptr, static_cast<size_t>(mapped), guarded ? PROT_NONE : PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return;
  auto* begin = static_cast<std::byte*>(p);
  data_ = begin;
  size_ = size;
  if (!huge) return;
  const int64_t past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(begin) % kHugePage);
  data_ = begin + (past ? kHugePage - past : 0);
  unmap(begin, data_);
  unmap(data_ + size_, begin + mapped);
  // A kernel without huge pages refuses, which costs nothing.
  ::madvise(data_, static_cast<size_t>(size_), MADV_HUGEPAGE);
}

ReservedMemory::ReservedMemory(ReservedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

ReservedMemory& ReservedMemory::operator=(ReservedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

ReservedMemory::~ReservedMemory() {
  unmap(data_, data_ + size_);
}

void ReservedMemory::trim(int64_t size_bytes) {
  const int64_t kept = std::min(round_up(size_bytes, kPage), size_);
  unmap(data_ + kept, data_ + size_);
  size_ = kept;
}

}  // namespace turgo
