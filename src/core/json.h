// JSON from files and requests: nlohmann's DOM behind one parse function that bounds depth and words errors.
#pragma once

#include <nlohmann/json.hpp>
#include <string_view>

namespace turgo {

using Json = nlohmann::ordered_json;

// Parses UTF-8 text. Throws Error{kCorrupt} naming `what` ("config.json of ..."), the byte and the cause;
// nesting deeper than max_depth is an error, so no later recursion over the value can run out of stack.
Json parse_json(std::string_view text, const std::string& what, int max_depth = 64);

// Whole small file; Error{kNotFound, kIo, kCorrupt}. Files over max_bytes are refused before they are read.
Json parse_json_file(const std::string& path, size_t max_bytes = size_t{256} << 20, int max_depth = 64);

}  // namespace turgo
