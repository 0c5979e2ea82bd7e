// The number tables of GGUF: metadata types and ggml tensor types.
#include "core/error.h"
#include "io/gguf_parse.h"

namespace turgo {

size_t gguf_type_bytes(uint32_t type) {
  constexpr uint8_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return type < sizeof(kBytes) ? kBytes[type] : 0;
}

const char* gguf_type_name(uint32_t type) {
  constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                    "bool", "string", "array", "u64", "i64", "f64"};
  return type < std::size(kNames) ? kNames[type] : "unknown";
}

namespace {
struct GgmlType {
  uint32_t number;
  DType dtype;
};
constexpr GgmlType kGgmlTypes[] = {
    {0, DType::kF32},   {1, DType::kF16},   {2, DType::kQ4_0},  {3, DType::kQ4_1},
    {6, DType::kQ5_0},  {7, DType::kQ5_1},  {8, DType::kQ8_0},  {10, DType::kQ2_K},
    {11, DType::kQ3_K}, {12, DType::kQ4_K}, {13, DType::kQ5_K}, {14, DType::kQ6_K},
    {24, DType::kI8},   {26, DType::kI32},  {27, DType::kI64},  {30, DType::kBF16},
};
}  // namespace

std::optional<DType> dtype_from_ggml(uint32_t ggml_type) {
  for (const auto& t : kGgmlTypes)
    if (t.number == ggml_type) return t.dtype;
  return std::nullopt;
}

uint32_t ggml_from_dtype(DType dtype) {
  for (const auto& t : kGgmlTypes)
    if (t.dtype == dtype) return t.number;
  CHECK(false, "{} has no ggml type", dtype_info(dtype).name);
  return 0;
}

}  // namespace turgo
