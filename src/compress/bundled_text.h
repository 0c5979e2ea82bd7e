// The calibration text that is part of the program: tales of the brothers Grimm in English (public domain,
// compress/data/grimm_tales.txt), at most 300 kB, so that compression works offline as it stands.
#pragma once

#include <string_view>

namespace turgo {

std::string_view bundled_text();

}  // namespace turgo
