#include "io/model_file.h"

#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/json.h"
#include "io/gguf_parse.h"

namespace turgo {
namespace {

// 8 bytes at a time; the multiplier is the 64-bit golden ratio. No security, only spread.
uint64_t mix(uint64_t hash, std::span<const std::byte> bytes) {
  for (size_t i = 0; i < bytes.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min<size_t>(8, bytes.size() - i));
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

uint64_t mix(uint64_t hash, uint64_t word) {
  return mix(hash, std::as_bytes(std::span(&word, 1)));
}

uint64_t fingerprint_of(const ModelFileParts& parts) {
  constexpr size_t kSamples = 16, kSampleBytes = 256;
  uint64_t hash = 0x7475'7267'6f31u;
  for (size_t f = 0; f < parts.files.size(); ++f) {
    auto bytes = parts.files[f]->bytes();
    size_t header = std::min(f < parts.header_bytes.size() ? parts.header_bytes[f] : 0, bytes.size());
    hash = mix(mix(hash, bytes.size()), bytes.first(header));
    auto data = bytes.subspan(header);
    for (size_t s = 0; s < kSamples && data.size() >= kSampleBytes; ++s)
      hash = mix(hash, data.subspan((data.size() - kSampleBytes) / kSamples * s, kSampleBytes));
  }
  return hash;
}

std::string shown(const Json& value) {
  return quote(value.dump(-1, ' ', false, Json::error_handler_t::replace), 60);
}

// get_* is find_* with an error for absence.
template <class T>
T required(std::optional<T> found, const std::string& path, std::string_view key) {
  if (!found)
    fail(ErrorCode::kCorrupt, "{}: expected a value for {}, found none", quote(path, 200), quote(key));
  return *std::move(found);
}

}  // namespace

ModelFile::ModelFile(ModelFileParts parts)
    : kind_(parts.kind),
      path_(std::move(parts.path)),
      folder_(std::move(parts.folder)),
      quantization_(std::move(parts.quantization)),
      tensors_(std::move(parts.tensors)),
      metadata_(std::move(parts.metadata)),
      arrays_(std::move(parts.arrays)),
      files_(parts.files),
      stamps_(std::move(parts.stamps)),
      fingerprint_(fingerprint_of(parts)) {
  CHECK(metadata_ != nullptr && metadata_->is_object(), "a ModelFile needs metadata");
  index_.reserve(tensors_.size());
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (!index_.emplace(tensors_[i].name, i).second)
      fail(ErrorCode::kCorrupt, "{}: tensor {} is in two files; expected unique names", quote(path_, 200),
           quote(tensors_[i].name));
  for (const auto& [key, value] : metadata_->get_ref<const Json::object_t&>()) keys_.emplace(key, &value);
}

ModelFile::~ModelFile() = default;

uint64_t ModelFile::total_bytes() const {
  uint64_t sum = 0;
  for (const auto& file : files_) sum += file->bytes().size();
  return sum;
}

const RawTensor* ModelFile::find(std::string_view name) const {
  auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

const RawTensor& ModelFile::get(std::string_view name) const {
  const RawTensor* tensor = find(name);
  if (!tensor)
    fail(ErrorCode::kCorrupt, "{}: expected a tensor named {}, found none; is the model complete?",
         quote(path_, 200), quote(name));
  return *tensor;
}

void ModelFile::check_unchanged() const {
  for (const auto& stamp : stamps_) stamp.check();
}

bool ModelFile::has(std::string_view key) const {
  return value(key) != nullptr || arrays_.contains(key);
}

const Json* ModelFile::value(std::string_view key) const {
  auto it = keys_.find(key);
  return it == keys_.end() || it->second->is_null() ? nullptr : it->second;
}

std::optional<int64_t> ModelFile::find_int(std::string_view key, int64_t min, int64_t max) const {
  const Json* v = value(key);
  if (!v) return std::nullopt;
  bool fits = v->is_number_unsigned() ? v->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                                      : v->is_number_integer();
  if (!fits || v->get<int64_t>() < min || v->get<int64_t>() > max)
    fail(ErrorCode::kCorrupt, "{}: {}: expected an integer of {} to {}, got {}", quote(path_, 200),
         quote(key), min, max, shown(*v));
  return v->get<int64_t>();
}

std::optional<uint32_t> ModelFile::find_u32(std::string_view key) const {
  auto v = find_int(key, 0, UINT32_MAX);
  return v ? std::optional<uint32_t>(static_cast<uint32_t>(*v)) : std::nullopt;
}

std::optional<float> ModelFile::find_f32(std::string_view key) const {
  const Json* v = value(key);
  if (!v) return std::nullopt;
  if (!v->is_number() || !std::isfinite(v->get<float>()))
    fail(ErrorCode::kCorrupt, "{}: {}: expected a finite number, got {}", quote(path_, 200), quote(key),
         shown(*v));
  return v->get<float>();
}

std::optional<bool> ModelFile::find_bool(std::string_view key) const {
  const Json* v = value(key);
  if (!v) return std::nullopt;
  if (!v->is_boolean())
    fail(ErrorCode::kCorrupt, "{}: {}: expected true or false, got {}", quote(path_, 200), quote(key),
         shown(*v));
  return v->get<bool>();
}

std::optional<std::string> ModelFile::find_string(std::string_view key) const {
  const Json* v = value(key);
  if (!v) return std::nullopt;
  if (!v->is_string())
    fail(ErrorCode::kCorrupt, "{}: {}: expected a string, got {}", quote(path_, 200), quote(key), shown(*v));
  return v->get<std::string>();
}

int64_t ModelFile::get_int(std::string_view key, int64_t min, int64_t max) const {
  return required(find_int(key, min, max), path_, key);
}
uint32_t ModelFile::get_u32(std::string_view key) const {
  return required(find_u32(key), path_, key);
}
float ModelFile::get_f32(std::string_view key) const {
  return required(find_f32(key), path_, key);
}
bool ModelFile::get_bool(std::string_view key) const {
  return required(find_bool(key), path_, key);
}
std::string ModelFile::get_string(std::string_view key) const {
  return required(find_string(key), path_, key);
}

}  // namespace turgo
