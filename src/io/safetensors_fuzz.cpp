// parse_safetensors over any bytes: an Error or tensors that tile the data exactly.
#include "io/safetensors_parse.h"

#include <cstdlib>

#include "core/error.h"

using namespace turgo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    auto contents = parse_safetensors(std::as_bytes(std::span(data, size)), "'fuzz'");
    size_t sum = contents.header_bytes;
    for (const auto& t : contents.tensors) {
      if (t.begin < contents.header_bytes || t.begin > size || t.size_bytes > size - t.begin) std::abort();
      if (t.shape.numel() * dtype_info(t.dtype).block_bytes != static_cast<int64_t>(t.size_bytes))
        std::abort();
      sum += t.size_bytes;
    }
    if (sum != size) std::abort();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kCorrupt && e.code() != ErrorCode::kUnsupported) std::abort();
  }
  return 0;
}
