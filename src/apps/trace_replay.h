// Replays a trace into an engine at its own times, and what came of it. Prompts are random tokens, answers
// are greedy and as long as the trace says.
#pragma once

#include <functional>

#include "apps/trace.h"
#include "engine/engine.h"

namespace turgo {

struct ReplayOptions {
  int32_t max_in_flight = 0;  // requests at once; 0 = as they arrive
  uint32_t seed = 1;
  std::function<void(size_t num_ended)> on_end;
};

struct ReplayedRequest {
  double arrival_s = 0,
         start_s = 0;           // start: submitted; later than arrival behind max_in_flight or its session
  std::vector<double> token_s;  // when each token was there
  FinishReason finish = FinishReason::kNone;
  std::string error;  // also of a request that the engine refused
  RequestStats stats;
};

struct Replay {
  std::vector<ReplayedRequest> requests;  // as in the trace
  double seconds = 0;                     // until the last one ended
};

Replay replay_trace(Engine& engine, const std::vector<TraceRequest>& trace, const ReplayOptions& options);

}  // namespace turgo
