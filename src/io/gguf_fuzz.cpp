// parse_gguf over any bytes: an Error or a file whose every tensor and array lies inside the input.
#include <cstdlib>

#include "core/error.h"
#include "core/json.h"
#include "io/gguf_parse.h"

using namespace turgo;

namespace {

void require(bool ok) {
  if (!ok) std::abort();
}

bool inside(std::span<const std::byte> part, std::span<const std::byte> whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto file = std::as_bytes(std::span(data, size));
  try {
    auto contents = parse_gguf(file, "'fuzz'");
    for (const auto& t : contents.tensors) {
      require(t.begin <= size && t.size_bytes <= size - t.begin && t.begin % contents.alignment == 0);
      require(row_bytes(t.dtype, t.shape.numel()) == static_cast<int64_t>(t.size_bytes));
      require(t.shape[t.shape.rank - 1] % dtype_info(t.dtype).block_size == 0);
    }
    for (const auto& [key, array] : contents.arrays) {
      require(inside(array.bytes, file));
      if (array.type != static_cast<uint32_t>(GgufType::kString)) continue;
      for (auto s : gguf_strings(array)) require(inside(std::as_bytes(std::span(s)), file));
    }
    (void)contents.metadata->dump();  // every string must be valid UTF-8
  } catch (const Error& e) {
    require(e.code() == ErrorCode::kCorrupt || e.code() == ErrorCode::kUnsupported);
  }
  return 0;
}
