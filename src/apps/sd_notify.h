// Tells systemd what a service of Type=notify does (man sd_notify), without libsystemd.
#pragma once

#include <string_view>

namespace turgo {

// "READY=1", "STOPPING=1". Does nothing where $NOTIFY_SOCKET is not set; a systemd that does not listen is no
// error.
void sd_notify_state(std::string_view state);

}  // namespace turgo
