// Does something dangerous in a child process first: what it costs or breaks there, it does there.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

namespace turgo {

struct RehearsalLimits {
  double seconds = 2;            // of CPU; the clock may show five times as much, where others work too
  size_t num_bytes = 256 << 20;  // of memory beyond what the process has already
};

// Runs `work` in a forked child, which must only compute: of the threads only this one is there. Throws
// Error{kInvalidArgument} with what `work` threw (std::exception), Error{kTooLong} if it passed a limit or
// crashed, Error{kResourceExhausted} if there can be no child. Returns what `work` wrote to stderr.
std::string rehearse(const std::string& what, const std::function<void()>& work,
                     const RehearsalLimits& limits = {});

}  // namespace turgo
