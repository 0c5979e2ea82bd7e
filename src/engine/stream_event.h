// What a request's consumer receives.
#pragma once

#include <string>
#include <vector>

#include "engine/request.h"

namespace turgo {

// One event of a stream: zero or more tokens, and on the last event the reason and statistics.
struct StreamEvent {
  std::vector<OutputToken> tokens;
  FinishReason finish = FinishReason::kNone;
  std::string error;     // with FinishReason::kError
  bool is_away = false;  // and the engine's process was lost: another try may succeed
  RequestStats stats;
};

}  // namespace turgo
