// An answer that is begun on other threads than the server's workers: to begin one may mean to wait for
// another process, and one that falls silent must not hold the workers that everybody needs.
#pragma once

#include <functional>
#include <memory>

#include "serve/http/http_server.h"
#include "serve/worker_threads.h"

namespace turgo {

// `begin` runs on one of `threads`, which outlive the responder's start(), unless the client has left before
// its turn. What it throws becomes a 500.
std::unique_ptr<Responder> respond_elsewhere(WorkerThreads& threads,
                                             std::function<std::unique_ptr<Responder>()> begin);

}  // namespace turgo
