// GET /terminate, LMDeploy's (HEAD, --allow-terminate-by-client): the server ends as by SIGTERM, once what
// runs has been answered. `turgo serve proxy` asks it for /nodes/terminate.
#pragma once

#include <functional>

#include "serve/models/model_router.h"

namespace turgo {

// `end`: null where clients may not.
void add_terminate_route(ModelRouter& router, std::function<void()> end);

}  // namespace turgo
