// Times as JSON has them: 2026-11-23T18:04:05.123456Z.
#pragma once

#include <cstdint>
#include <string>

namespace turgo {

std::string iso_time(int64_t microseconds_since_1970);
std::string iso_time_now();

}  // namespace turgo
