// What this machine is, as far as Turgo cares. Everything that can not be found out is empty or 0.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace turgo {

struct HostInfo {
  std::string os, cpu;
  int logical_cpus = 0;  // online
  int usable_cores = 0;  // core/thread_team.h: affinity, one per physical core, cgroup quota
  int64_t memory_bytes = 0, memory_available_bytes = 0;
  std::vector<std::string> cpu_flags;  // those of /proc/cpuinfo that kernels are built for
  std::vector<std::string> gpus;       // names from the NVIDIA driver
  std::string gpu_driver;              // its version
};

HostInfo read_host_info();

// $TURGO_CACHE, else $XDG_CACHE_HOME/turgo, else ~/.cache/turgo.
std::string cache_folder();

int64_t peak_resident_bytes();  // of this process so far

}  // namespace turgo
