// The ranks of one tensor-parallel model and what they exchange. One object per rank; every rank calls the
// same verbs in the same order with the same counts. Sums are taken in rank order, so that all ranks hold the
// same bits. Today: threads of one process (thread_group.h); NCCL when a GPU back end needs it (nccl.h).
#pragma once

#include <cstdint>

namespace turgo {

class Group {
 public:
  virtual ~Group() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // data[i] = sum of the ranks' data[i], in place.
  virtual void all_reduce(float* data, int64_t count) = 0;
  // full[r * count + i] = rank r's local[i]; `full` holds size() * count.
  virtual void all_gather(const float* local, int64_t count, float* full) = 0;

  // A rank that can not go on: every other one that waits, or comes to a verb, throws Error{kCancelled}
  // instead of waiting for ever. Stays so until reset(), to be called once when no rank is inside a verb.
  virtual void abort() = 0;
  virtual void reset() = 0;
};

}  // namespace turgo
