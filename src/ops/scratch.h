// Memory of an executor that grows to the largest step seen.
#pragma once

#include <new>

#include "core/reserved_memory.h"

namespace turgo {

// Memory that grows; content is not kept. Pages that are never written are never resident.
class Scratch {
 public:
  std::byte* get(int64_t size_bytes) {
    if (size_bytes > memory_.size()) {
      memory_ = ReservedMemory();
      memory_ = ReservedMemory(size_bytes);
      if (!memory_.data()) throw std::bad_alloc();
    }
    return memory_.data();
  }

 private:
  ReservedMemory memory_;
};

}  // namespace turgo
