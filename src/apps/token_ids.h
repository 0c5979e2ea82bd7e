// Token ids on the command line: "1,5,7" (commas or spaces).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace turgo {

// Throws Error{kInvalidArgument} for anything but numbers in [0, vocab_size).
std::vector<int32_t> parse_token_ids(const std::string& text, const char* flag, int32_t vocab_size);
std::string print_token_ids(const std::vector<int32_t>& ids);

}  // namespace turgo
