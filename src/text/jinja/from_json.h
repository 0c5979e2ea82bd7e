// JSON -> values of the template language. `input` marks every string, number and container as coming from
// the caller.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "text/jinja/value.h"

namespace turgo::jinja {

class Runtime;

// Nesting beyond Limits::max_value_depth is an error.
Value from_json(Runtime& rt, const nlohmann::ordered_json& json, bool input, int depth = 0);

}  // namespace turgo::jinja
