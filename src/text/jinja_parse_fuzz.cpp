// Any bytes as a template: it parses, or an Error says why not.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/error.h"
#include "text/jinja/parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    turgo::jinja::parse_template({reinterpret_cast<const char*>(data), size}, turgo::jinja::Limits{});
  } catch (const turgo::Error&) {
    return 0;  // refused: what a hostile input should get
  }
  return 0;
}
