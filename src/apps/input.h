// Text that a command takes as an argument, or from stdin where the argument is "-".
#pragma once

#include <string>

namespace turgo {

// Throws Error{kIo, kInvalidArgument} (more than 256 MiB on stdin).
std::string read_text_argument(const std::string& argument);

// What is on stdin, whole.
std::string read_stdin();

}  // namespace turgo
