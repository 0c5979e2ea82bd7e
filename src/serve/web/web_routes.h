// The built-in page at / and /assets/….
#pragma once

#include <string>

#include "serve/routes.h"

namespace turgo {

void add_web_routes(RouteTable& routes, const std::string& api_prefix);

}  // namespace turgo
