// The GGUF container (v2 and v3, little endian), parsed from a span so that tests and fuzzers need no file.
// Layout:
//   "GGUF" | u32 version | u64 num_tensors | u64 num_kv | kv… | tensor infos… | pad to alignment | tensor
//   data kv     = string key, u32 type, value          string = u64 length, bytes info   = string name, u32
//   num_dims, u64 ne[num_dims] (innermost first), u32 ggml type, u64 offset into the data
// Every count and length is checked against the bytes that are left before anything is allocated or looped
// over. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/tensor.h"
#include "io/model_file.h"

namespace turgo {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};
// Bytes of one element; 0 for strings, arrays and unknown types.
size_t gguf_type_bytes(uint32_t type);
const char* gguf_type_name(uint32_t type);

// ggml's numbers of tensor types, both ways. Only types that Turgo reads have a DType.
std::optional<DType> dtype_from_ggml(uint32_t ggml_type);
uint32_t ggml_from_dtype(DType dtype);  // CHECKs: every DType but kU8 has one

// Beyond these a header is refused before it is read further.
inline constexpr uint64_t kMaxGgufTensors = 1'000'000;
inline constexpr uint64_t kMaxGgufKeys = 65'536;
inline constexpr uint64_t kMaxGgufStringBytes = uint64_t{16} << 20;
inline constexpr uint64_t kMaxGgufKeyBytes = 65'535;  // the format's own limit
inline constexpr uint64_t kMaxGgufNameBytes = 63;     // ggml's, without the final NUL
// An array stays out of the Json if it is longer than the first, or once this many elements are in it: 16
// bytes each.
inline constexpr uint64_t kMaxJsonArray = 4'096;
inline constexpr uint64_t kMaxJsonElements = 1 << 20;

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  size_t begin = 0, size_bytes = 0;  // in the whole span
};

struct GgufContents {
  uint32_t version = 0;
  uint32_t alignment = 32;
  std::unique_ptr<Json> metadata;
  std::map<std::string, RawArray, std::less<>> arrays;  // every array, also the small ones
  std::vector<GgufTensorInfo> tensors;
  uint64_t json_elements = 0;  // of arrays in `metadata`
  size_t header_bytes = 0;     // where the padding before the data begins
};

// `what` names the file in errors, already quoted. Throws Error{kCorrupt, kUnsupported}.
GgufContents parse_gguf(std::span<const std::byte> file, const std::string& what);

// The strings of an array of type kString, as views into its bytes (already checked by parse_gguf).
std::vector<std::string_view> gguf_strings(const RawArray& array);

}  // namespace turgo
