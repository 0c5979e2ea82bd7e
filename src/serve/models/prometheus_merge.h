// Several Prometheus texts (0.0.4) as one: each metric's HELP and TYPE once, all of its samples behind them.
#pragma once

#include <string>
#include <vector>

namespace turgo {

// Of the last text only the families whose name starts with `last_prefix` are taken, and of the others none
// of them.
std::string merge_prometheus(const std::vector<std::string>& texts, const std::string& last_prefix);

}  // namespace turgo
