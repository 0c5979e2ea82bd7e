// Whole small files of a model folder, read with limits. ordered_json finds a key by walking its object, so a
// hostile object of a million keys would cost hours; these readers bound keys per object and depth before any
// DOM is built.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace turgo {

// The file's bytes. Throws Error{kNotFound, kIo, kInvalidArgument}, Error{kCorrupt} if it is larger than
// max_bytes.
std::string read_text_file(const std::string& path, size_t max_bytes);

// Throws Error{kCorrupt} if brackets nest deeper than max_depth or one object has more than max_keys keys.
// Malformed text passes: the parser words that error.
void check_json_size(std::string_view text, const std::string& what, int max_depth, size_t max_keys);

// A JSON object in file order, as config.json: at most 2 MiB, 64 levels, 4,096 keys per object.
nlohmann::ordered_json load_json_object(const std::string& path);

// A JSON object with sorted keys, for files with as many keys as a model has tensors or tokens; linear but
// for a log.
nlohmann::json load_large_json_object(const std::string& path, size_t max_bytes);

}  // namespace turgo
