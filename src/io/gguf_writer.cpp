#include "io/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/error.h"
#include "core/json.h"
#include "io/gguf_parse.h"

namespace turgo {
namespace {

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void put_string(std::string& out, std::string_view s) {
  put<uint64_t>(out, s.size());
  out += s;
}

uint64_t align_up(uint64_t n, uint64_t alignment) {
  return (n + alignment - 1) / alignment * alignment;
}

constexpr uint32_t number(GgufType type) {
  return static_cast<uint32_t>(type);
}

void copy_scalar(GgufHeader& to, const std::string& key, const Json& v) {
  if (v.is_boolean()) {
    to.set_bool(key, v.get<bool>());
  } else if (v.is_string()) {
    to.set_string(key, v.get_ref<const std::string&>());
  } else if (v.is_number_float()) {
    double d = v.get<double>();
    if (static_cast<double>(static_cast<float>(d)) == d || d != d)
      to.set_f32(key, static_cast<float>(d));
    else
      to.set_f64(key, d);
  } else if (v.is_number_unsigned() || (v.is_number_integer() && v.get<int64_t>() >= 0)) {
    auto u = v.get<uint64_t>();
    if (u <= UINT32_MAX)
      to.set_u32(key, static_cast<uint32_t>(u));
    else
      to.set_u64(key, u);
  } else if (v.is_number_integer()) {
    auto i = v.get<int64_t>();
    if (i >= INT32_MIN)
      to.set_i32(key, static_cast<int32_t>(i));
    else
      to.set_f64(key, static_cast<double>(i));  // no model has such a key; kept readable as a number
  }
}

}  // namespace

GgufHeader::GgufHeader(uint32_t alignment) : alignment_(alignment) {
  CHECK(std::has_single_bit(alignment), "alignment {}", alignment);
  if (alignment != 32) set_u32("general.alignment", alignment);
}

bool GgufHeader::has(std::string_view key) const {
  return std::find(keys_.begin(), keys_.end(), key) != keys_.end();
}

void GgufHeader::begin_key(std::string_view key, uint32_t type) {
  CHECK(!key.empty() && key.size() <= kMaxGgufKeyBytes && !has(key), "key {}", quote(key));
  keys_.emplace_back(key);
  ++num_kv_;
  put_string(kv_, key);
  put(kv_, type);
}

void GgufHeader::set_u32(std::string_view key, uint32_t value) {
  begin_key(key, number(GgufType::kU32));
  put(kv_, value);
}
void GgufHeader::set_i32(std::string_view key, int32_t value) {
  begin_key(key, number(GgufType::kI32));
  put(kv_, value);
}
void GgufHeader::set_u64(std::string_view key, uint64_t value) {
  begin_key(key, number(GgufType::kU64));
  put(kv_, value);
}
void GgufHeader::set_f32(std::string_view key, float value) {
  begin_key(key, number(GgufType::kF32));
  put(kv_, value);
}
void GgufHeader::set_f64(std::string_view key, double value) {
  begin_key(key, number(GgufType::kF64));
  put(kv_, value);
}
void GgufHeader::set_bool(std::string_view key, bool value) {
  begin_key(key, number(GgufType::kBool));
  put<uint8_t>(kv_, value);
}
void GgufHeader::set_string(std::string_view key, std::string_view value) {
  begin_key(key, number(GgufType::kString));
  put_string(kv_, value);
}

void GgufHeader::set_strings(std::string_view key, std::span<const std::string_view> values) {
  std::string bytes;
  for (auto s : values) put_string(bytes, s);
  set_array(key, {number(GgufType::kString), values.size(), std::as_bytes(std::span(bytes))});
}
void GgufHeader::set_i32s(std::string_view key, std::span<const int32_t> values) {
  set_array(key, {number(GgufType::kI32), values.size(), std::as_bytes(values)});
}
void GgufHeader::set_f32s(std::string_view key, std::span<const float> values) {
  set_array(key, {number(GgufType::kF32), values.size(), std::as_bytes(values)});
}
void GgufHeader::set_array(std::string_view key, const RawArray& array) {
  begin_key(key, number(GgufType::kArray));
  put(kv_, array.type);
  put(kv_, array.count);
  kv_.append(reinterpret_cast<const char*>(array.bytes.data()), array.bytes.size());
}

void GgufHeader::copy_metadata(const ModelFile& source) {
  auto wanted = [&](std::string_view key) {
    return !has(key) && key != "general.alignment" && !key.starts_with("split.");
  };
  for (const auto& [key, value] : source.metadata().items())
    if (wanted(key) && !value.is_array()) copy_scalar(*this, key, value);
  for (const auto& [key, array] : source.raw_arrays())
    if (wanted(key)) set_array(key, array);
}

void GgufHeader::add_tensor(std::string_view name, DType dtype, const Shape& shape) {
  CHECK(!name.empty() && name.size() <= kMaxGgufNameBytes, "name {}", quote(name));
  CHECK(shape.rank >= 1 && shape[shape.rank - 1] % dtype_info(dtype).block_size == 0, "{}: {} of {}",
        quote(name), shape.str(), dtype_info(dtype).name);
  put_string(infos_, name);
  put(infos_, static_cast<uint32_t>(shape.rank));
  for (int i = shape.rank - 1; i >= 0; --i) {
    CHECK(shape[i] > 0, "{}: {}", quote(name), shape.str());
    put(infos_, static_cast<uint64_t>(shape[i]));
  }
  put(infos_, ggml_from_dtype(dtype));
  put(infos_, next_offset_);
  auto size = static_cast<uint64_t>(row_bytes(dtype, shape.numel()));
  tensors_.push_back({std::string(name), next_offset_, size});
  next_offset_ = align_up(next_offset_ + size, alignment_);
}

uint64_t GgufHeader::data_bytes() const {
  return next_offset_;
}

std::string GgufHeader::bytes() const {
  std::string out = "GGUF";
  put<uint32_t>(out, 3);
  put<uint64_t>(out, tensors_.size());
  put<uint64_t>(out, num_kv_);
  out += kv_;
  out += infos_;
  out.resize(align_up(out.size(), alignment_), '\0');
  return out;
}

GgufWriter::GgufWriter(const std::string& path, const GgufHeader& header, std::span<const std::string> inputs)
    : file_(path, inputs), tensors_(header.tensors()), alignment_(header.alignment()) {
  file_.write(header.bytes());
}

void GgufWriter::write_tensor(std::span<const std::byte> bytes) {
  CHECK(current_ < tensors_.size(), "all {} tensors are written", tensors_.size());
  const auto& tensor = tensors_[current_];
  CHECK(bytes.size() <= tensor.size_bytes - written_, "{}: {} + {} of {} bytes", tensor.name, written_,
        bytes.size(), tensor.size_bytes);
  file_.write(bytes);
  written_ += bytes.size();
  if (written_ < tensor.size_bytes) return;
  file_.write(std::string(align_up(written_, alignment_) - written_, '\0'));
  ++current_;
  written_ = 0;
}

void GgufWriter::finish() {
  CHECK_EQ(current_, tensors_.size());
  file_.commit();
}

}  // namespace turgo
