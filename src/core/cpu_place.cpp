#include "core/cpu_place.h"

#include <sched.h>

namespace turgo {

int current_cpu() {
  return sched_getcpu();
}

bool leave_cpus(std::span<const int> taken) {
  cpu_set_t all, rest;
  if (sched_getaffinity(0, sizeof(all), &all) != 0) return false;
  rest = all;
  for (int cpu : taken)
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_CLR(cpu, &rest);
  if (CPU_COUNT(&rest) == 0 || sched_setaffinity(0, sizeof(rest), &rest) != 0) return false;
  // It fails only if `all` has changed meanwhile; then what is left of it counts.
  if (sched_setaffinity(0, sizeof(all), &all) == 0) return true;
  return sched_getaffinity(0, sizeof(all), &all) == 0 && sched_setaffinity(0, sizeof(all), &all) == 0;
}

}  // namespace turgo
