// ModelFile's array accessors: from GGUF's raw arrays, or from a JSON array of config.json.
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "core/json.h"
#include "io/gguf_parse.h"
#include "io/model_file.h"

namespace turgo {
namespace {

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

[[noreturn]] void wrong_type(const std::string& path, std::string_view key, const char* expected,
                             const std::string& got) {
  fail(ErrorCode::kCorrupt, "{}: {}: expected an array of {}, got {}", quote(path, 200), quote(key), expected,
       got);
}

// Element i of an integer array, whatever its width; false if the type is no integer or a u64 is too large.
bool integer_at(const RawArray& a, uint64_t i, int64_t* out) {
  const std::byte* p = a.bytes.data() + i * gguf_type_bytes(a.type);
  switch (static_cast<GgufType>(a.type)) {
    case GgufType::kU8:
      *out = load<uint8_t>(p);
      return true;
    case GgufType::kI8:
      *out = static_cast<int64_t>(load<int8_t>(p));
      return true;
    case GgufType::kU16:
      *out = load<uint16_t>(p);
      return true;
    case GgufType::kI16:
      *out = load<int16_t>(p);
      return true;
    case GgufType::kU32:
      *out = load<uint32_t>(p);
      return true;
    case GgufType::kI32:
      *out = load<int32_t>(p);
      return true;
    case GgufType::kI64:
      *out = load<int64_t>(p);
      return true;
    case GgufType::kU64:
      *out = load<int64_t>(p);
      return *out >= 0;
    default:
      return false;
  }
}

bool fits_i32(int64_t v) {
  return v >= std::numeric_limits<int32_t>::min() && v <= std::numeric_limits<int32_t>::max();
}

// A JSON array whose elements pass `ok`, read by `read`.
template <class T, class Ok>
std::vector<T> from_json(const Json& value, Ok ok, const std::string& path, std::string_view key,
                         const char* expected) {
  if (!value.is_array()) wrong_type(path, key, expected, value.type_name());
  std::vector<T> out;
  out.reserve(value.size());
  for (const Json& v : value) {
    if (!ok(v)) wrong_type(path, key, expected, std::string("an element of type ") + v.type_name());
    out.push_back(v.get<T>());
  }
  return out;
}

}  // namespace

std::vector<std::string_view> ModelFile::get_string_array(std::string_view key) const {
  if (auto it = arrays_.find(key); it != arrays_.end()) {
    if (it->second.type != static_cast<uint32_t>(GgufType::kString))
      wrong_type(path_, key, "strings", gguf_type_name(it->second.type));
    return gguf_strings(it->second);
  }
  const Json* v = value(key);
  if (!v) return {};
  if (!v->is_array()) wrong_type(path_, key, "strings", v->type_name());
  std::vector<std::string_view> out;
  for (const Json& s : *v) {
    if (!s.is_string()) wrong_type(path_, key, "strings", std::string("an element of type ") + s.type_name());
    out.push_back(s.get_ref<const std::string&>());
  }
  return out;
}

std::vector<float> ModelFile::get_f32_array(std::string_view key) const {
  if (auto it = arrays_.find(key); it != arrays_.end()) {
    const RawArray& a = it->second;
    if (a.type != static_cast<uint32_t>(GgufType::kF32))
      wrong_type(path_, key, "f32", gguf_type_name(a.type));
    std::vector<float> out(a.count);
    if (a.count) std::memcpy(out.data(), a.bytes.data(), a.bytes.size());
    return out;
  }
  const Json* v = value(key);
  if (!v) return {};
  return from_json<float>(*v, [](const Json& x) { return x.is_number(); }, path_, key, "numbers");
}

std::vector<int32_t> ModelFile::get_i32_array(std::string_view key) const {
  if (auto it = arrays_.find(key); it != arrays_.end()) {
    const RawArray& a = it->second;
    std::vector<int32_t> out(a.count);
    int64_t v = 0;
    for (uint64_t i = 0; i < a.count; ++i) {
      if (!integer_at(a, i, &v) || !fits_i32(v))
        wrong_type(path_, key, "32-bit integers", gguf_type_name(a.type));
      out[i] = static_cast<int32_t>(v);
    }
    return out;
  }
  const Json* v = value(key);
  if (!v) return {};
  auto ok = [](const Json& x) {
    if (x.is_number_unsigned()) return x.get<uint64_t>() <= INT32_MAX;
    return x.is_number_integer() && fits_i32(x.get<int64_t>());
  };
  return from_json<int32_t>(*v, ok, path_, key, "32-bit integers");
}

std::vector<bool> ModelFile::get_bool_array(std::string_view key) const {
  if (auto it = arrays_.find(key); it != arrays_.end()) {
    const RawArray& a = it->second;
    if (a.type != static_cast<uint32_t>(GgufType::kBool))
      wrong_type(path_, key, "bools", gguf_type_name(a.type));
    std::vector<bool> out(a.count);
    for (uint64_t i = 0; i < a.count; ++i) out[i] = a.bytes[i] != std::byte{0};
    return out;
  }
  const Json* v = value(key);
  if (!v) return {};
  return from_json<bool>(*v, [](const Json& x) { return x.is_boolean(); }, path_, key, "bools");
}

}  // namespace turgo
