// Words of the command line -> a command that runs. The only place that knows the argument parser (CLI11).
#pragma once

#include <string>
#include <vector>

#include "apps/command.h"

namespace turgo {

// `words` without the program's name. Prints help where it is asked for or where there is no command. Throws
// Error{kInvalidArgument} for an unknown command or flag (with the closest known one) and for a bad value.
int run_command_line(const std::vector<std::string>& words);

}  // namespace turgo
