// The engine: EngineCore behind one mutex, driven by one thread that also leads the compute team (a runner's
// execute() runs on it, without the mutex). Idle, it sleeps on a condition variable.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "engine/model_runner.h"

namespace turgo {

// An Engine over any runner. `decoder` may be null in tests: then model_config() and session_len() must not
// be called.
std::unique_ptr<Engine> create_engine(std::unique_ptr<ModelRunner> runner, int32_t num_blocks,
                                      const EngineConfig& config, std::shared_ptr<Decoder> decoder);

}  // namespace turgo
