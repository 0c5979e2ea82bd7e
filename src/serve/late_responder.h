// An answer that a function computes on a thread of its own, for what may take seconds but is no stream of
// tokens: the I/O thread and the workers stay free.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "serve/http/http_server.h"

namespace turgo {

// `compute` looks at `cancelled` now and then: when the client leaves, the thread is waited for. What it
// throws becomes an error answer.
std::unique_ptr<Responder> respond_later(
    std::function<HttpResponse(const std::atomic<bool>& cancelled)> compute);

}  // namespace turgo
