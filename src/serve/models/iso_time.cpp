#include "serve/models/iso_time.h"

#include <fmt/format.h>

#include <chrono>
#include <ctime>

namespace turgo {

std::string iso_time(int64_t microseconds) {
  std::time_t seconds = microseconds / 1000000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, microseconds % 1000000);
}

std::string iso_time_now() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return iso_time(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace turgo
