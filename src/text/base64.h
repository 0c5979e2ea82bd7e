// Base64 (RFC 4648, padding optional at the end) for the binary tables inside JSON files.
#pragma once

#include <string>
#include <string_view>

namespace turgo {

// False if a character is not of the alphabet; `bytes` is then unspecified.
bool decode_base64(std::string_view text, std::string& bytes);

}  // namespace turgo
