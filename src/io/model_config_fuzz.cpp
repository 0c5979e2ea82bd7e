// The JSON files of a model folder, as a loader meets them: input = 1 byte that chooses the reader, then the
// text.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json.h"
#include "io/json_file.h"

using namespace turgo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    check_json_size(text, "'fuzz'", data[0] % 64 + 1, 1000);
    auto value = parse_json(text, "'fuzz'", data[0] % 64 + 1);
    (void)value.dump(-1, ' ', false, Json::error_handler_t::replace);
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kCorrupt) std::abort();
  }
  return 0;
}
