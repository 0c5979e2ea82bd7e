// parse_session over any bytes: an Error, or a session that is written as the same bytes again. An input
// carries no checksum: it is put right here, or no change of the fuzzer would get past it.
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "engine/session_file.h"

using namespace turgo;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  uint64_t h = 0xCBF29CE484222325u;  // FNV-1a, as the file has it
  for (char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  bytes.append(reinterpret_cast<const char*>(&h), sizeof h);
  try {
    SessionContent content = parse_session(bytes, "fuzz", "m", "me", 61, 2);
    for (int32_t id : content.tokens)
      if (id >= 61) std::abort();
    if (dump_session(content, "m", "me") != bytes) std::abort();
  } catch (const Error& e) {
    if (e.code() != ErrorCode::kCorrupt && e.code() != ErrorCode::kUnsupported &&
        e.code() != ErrorCode::kInvalidArgument)
      std::abort();
  }
  return 0;
}
