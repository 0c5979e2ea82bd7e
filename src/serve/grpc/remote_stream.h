// One GenerateStream call: what an engine in another process says, as the events of a Stream.
#pragma once

#include "engine/engine.h"
#include "serve/grpc/engine_link.h"

namespace turgo {

// Returns when the engine has accepted the request. Throws as Engine::submit().
std::unique_ptr<Stream> start_remote_stream(std::shared_ptr<EngineLink> link, const Request& request);

}  // namespace turgo
