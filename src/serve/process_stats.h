// What the operating system counts of this process.
#pragma once

#include <cstdint>

namespace turgo {

struct ProcessStats {
  int64_t resident_bytes = 0, num_files = 0, num_threads = 0;
  double cpu_seconds = 0;
};

ProcessStats read_process_stats();  // zeros where /proc is not there

}  // namespace turgo
