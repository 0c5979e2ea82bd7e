// Results as JSON on stdout. Broken UTF-8 (there should be none) becomes U+FFFD instead of an exception.
#pragma once

#include <nlohmann/json.hpp>

#include "apps/output.h"
#include "core/options.h"

namespace turgo {

inline void write_json(const Json& value) {
  write_stdout(value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace turgo
