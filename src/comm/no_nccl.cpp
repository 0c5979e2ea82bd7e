// Stands in for NCCL where it is not built in.
#include "comm/nccl.h"
#include "core/error.h"

namespace turgo {

std::shared_ptr<Group> make_nccl_group(int rank, int size, const std::string&) {
  if (rank < 0 || rank >= size)
    fail(ErrorCode::kInvalidArgument, "expected a rank of 0 to {}, got {}", size - 1, rank);
  fail(ErrorCode::kUnsupported,
       "tensor parallelism over {} GPUs needs NCCL, which this build does not have; --tp on a CPU runs as "
       "threads of this process",
       size);
}

}  // namespace turgo
