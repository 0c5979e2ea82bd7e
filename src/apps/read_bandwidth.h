// How fast this machine's memory can be read: the ceiling of decoding, which reads every weight once per
// token.
#pragma once

#include <cstdint>

#include "core/thread_team.h"

namespace turgo {

// Bytes per second with which the team reads a buffer of `bytes` (its pages touched before), best of several
// passes.
double measure_read_bandwidth(ThreadTeam& team, int64_t bytes);

}  // namespace turgo
