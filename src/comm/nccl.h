// A Group over NVIDIA's NCCL, which is opened at run time. A build without it has no_nccl.cpp instead.
#pragma once

#include <memory>
#include <string>

#include "comm/group.h"

namespace turgo {

// `id`: what rank 0 made and gave to the others (ncclUniqueId). Throws Error{kUnsupported} where NCCL is not
// built in or can not be opened, Error{kInvalidArgument} for a rank outside of the group.
std::shared_ptr<Group> make_nccl_group(int rank, int size, const std::string& id);

}  // namespace turgo
