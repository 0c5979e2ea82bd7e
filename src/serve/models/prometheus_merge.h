// Several Prometheus texts (0.0.4) as one: each metric's HELP and TYPE once, all of its samples behind them.
#pragma once

#include <string>
#include <vector>

namespace turgo {

std::string merge_prometheus(const std::vector<std::string>& texts);

}  // namespace turgo
