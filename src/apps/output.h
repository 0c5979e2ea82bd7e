// Writing to stdout so that a full disk is an error and a closed pipe is a quiet end.
#pragma once

#include <exception>
#include <string_view>

namespace turgo {

// Whoever read our stdout has gone (head, a closed terminal): main ends with exit code 0 and no message.
class OutputClosed : public std::exception {
 public:
  const char* what() const noexcept override { return "stdout was closed"; }
};

// Unbuffered: what was written is visible at once. Throws OutputClosed or Error{kIo}.
void write_stdout(std::string_view text);

// One red line on stderr: a server that asks for no key listens beyond this machine. `what`: "this server" …
void warn_of_open_server(std::string_view address, std::string_view what);

}  // namespace turgo
