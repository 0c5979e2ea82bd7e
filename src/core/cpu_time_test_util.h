// For tests that something ends in time: CPU seconds of this process, which other processes do not add to.
#pragma once

#include <ctime>

namespace turgo {

inline double cpu_seconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

}  // namespace turgo
