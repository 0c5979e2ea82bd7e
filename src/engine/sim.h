// Deterministic simulation of the engine: the real EngineCore (scheduler, blocks, prefix cache, sessions,
// cancel) under a seeded virtual clock, a fake model and random users. A seed replays exactly. Every round it
// checks that
//   - each request ends exactly once, with the tokens that the model gives to its context alone, or a prefix
//   of
//     them if it was cancelled;
//   - every block is accounted for, and all come back when the requests have ended;
//   - something progresses while there is work that could;
//   - requests of a class and owner begin in order of arrival, and nobody who comes later begins before an
//     owner's only one;
//   - once costs were seen, a step with decodes takes at most 8 times as long as its decodes alone, and
//   rarely
//     more than 3 times (num_slow_steps);
//   - a request past its deadline has ended;
//   - a session is what its turns made it.
#pragma once

#include <cstdint>
#include <string>

namespace turgo {

struct SimReport {
  std::string violation;  // empty = none
  int64_t num_requests = 0, num_steps = 0, num_preemptions = 0, num_cancelled = 0, num_failed = 0;
  int64_t num_cached_tokens = 0, num_timeouts = 0, num_paced_steps = 0, num_slow_steps = 0,
          num_layered_steps = 0;
  uint64_t trace_hash = 0;  // of all that happened: equal for equal seeds
};

SimReport simulate(uint64_t seed);

}  // namespace turgo
