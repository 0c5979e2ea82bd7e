// A Group of threads that share an address space: verbs read and write each other's buffers between two
// barriers, each rank its own part of the elements.
#pragma once

#include <memory>
#include <vector>

#include "comm/group.h"

namespace turgo {

std::vector<std::shared_ptr<Group>> make_thread_group(int size);

}  // namespace turgo
