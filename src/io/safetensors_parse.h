// The safetensors container, parsed from a span so that tests and fuzzers need no file. Layout:
//   u64 header_bytes | JSON header (may end in spaces) | data
//   header = {"__metadata__": {string: string}?, NAME: {"dtype": "F32", "shape": [..], "data_offsets":
//   [begin, end]}…}
// As in the reference implementation (github.com/huggingface/safetensors) the header has at most 100 MB, and
// the tensors in order of their offsets fill the data exactly: no hole, no overlap, no byte more.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/tensor.h"

namespace turgo {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;  // more than four dimensions are merged into the last: the bytes are the same row-major array
  size_t begin = 0, size_bytes = 0;  // in the whole span; size 0 if a dimension is 0
};

struct SafetensorsContents {
  std::vector<SafetensorsInfo> tensors;  // in the header's order
  std::map<std::string, std::string> metadata;
  size_t header_bytes = 0;  // with the 8 bytes of the length
};

// `what` names the file in errors, already quoted. Throws Error{kCorrupt}, or Error{kUnsupported} that names
// tensor and type for a dtype of the format that Turgo does not read.
SafetensorsContents parse_safetensors(std::span<const std::byte> file, const std::string& what);

// "BF16" for kBF16; nullptr for the quantised block types, which the format does not have.
const char* safetensors_dtype_name(DType dtype);

}  // namespace turgo
