#include "io/safetensors_parse.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "core/error.h"

namespace turgo {
namespace {

struct DTypeName {
  const char* name;
  std::optional<DType> dtype;
};
constexpr DTypeName kDTypeNames[] = {
    {"F32", DType::kF32},
    {"F16", DType::kF16},
    {"BF16", DType::kBF16},
    {"I32", DType::kI32},
    {"I64", DType::kI64},
    {"I8", DType::kI8},
    {"U8", DType::kU8},
    {"F8_E4M3", DType::kF8E4M3},
    // Of the format, but nothing here reads them.
    {"BOOL", {}},
    {"F64", {}},
    {"I16", {}},
    {"U16", {}},
    {"U32", {}},
    {"U64", {}},
    {"F8_E5M2", {}},
    {"F8_E8M0", {}},
    {"F4", {}},
    {"F6_E2M3", {}},
    {"F6_E3M2", {}},
    {"C64", {}},
};

// 2^48 elements are beyond any disk; products with an element size can not wrap.
constexpr uint64_t kMaxElements = uint64_t{1} << 48;
constexpr size_t kMaxRank = 16;

// Walks the header without building a DOM: linear in its size, and no nesting beyond what the format has is
// accepted.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  HeaderReader(const std::string& what, SafetensorsContents& out) : what_(what), out_(out) {}

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a bool"); }
  bool number_float(double, const std::string& s) override { return unexpected("the number " + quote(s)); }
  bool binary(nlohmann::json::binary_t&) override { return unexpected("binary"); }
  bool number_integer(int64_t v) override { return unexpected(fmt::format("the number {}", v)); }

  bool number_unsigned(uint64_t v) override {
    if (where_ == Where::kShape) {
      if (shape_.size() == kMaxRank) fail_at("has more than 16 dimensions");
      shape_.push_back(v);
    } else if (where_ == Where::kOffsets) {
      if (offsets_.size() == 2) fail_at("has more than two data_offsets");
      offsets_.push_back(v);
    } else {
      return unexpected(fmt::format("the number {}", v));
    }
    return true;
  }

  bool string(std::string& s) override {
    if (where_ == Where::kMetadata) {
      if (!out_.metadata.emplace(field_, s).second)
        fail(ErrorCode::kCorrupt, "{}: __metadata__ key {} appears twice", what_, quote(field_));
    } else if (where_ == Where::kTensor && field_ == "dtype") {
      set_dtype(s);
    } else {
      return unexpected("the string " + quote(s));
    }
    return true;
  }

  bool start_object(size_t) override {
    if (where_ == Where::kOutside) {
      where_ = Where::kTop;
    } else if (where_ == Where::kTop) {
      where_ = name_ == "__metadata__" ? Where::kMetadata : Where::kTensor;
      dtype_.reset();
      has_shape_ = has_offsets_ = false;
      shape_.clear();
      offsets_.clear();
    } else {
      return unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (where_ == Where::kTensor) add_tensor();
    where_ = where_ == Where::kTop ? Where::kOutside : Where::kTop;
    return true;
  }

  bool key(std::string& k) override {
    if (where_ == Where::kTop) {
      name_ = k;
      if (!names_.insert(k).second)
        fail(ErrorCode::kCorrupt, "{}: tensor {} appears twice; expected unique names", what_, quote(k));
    } else {
      field_ = k;
    }
    return true;
  }

  bool start_array(size_t) override {
    if (where_ == Where::kTensor && field_ == "shape" && !has_shape_) {
      where_ = Where::kShape;
      has_shape_ = true;
    } else if (where_ == Where::kTensor && field_ == "data_offsets" && !has_offsets_) {
      where_ = Where::kOffsets;
      has_offsets_ = true;
    } else {
      return unexpected("an array");
    }
    return true;
  }

  bool end_array() override {
    where_ = Where::kTensor;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception& e) override {
    fail(ErrorCode::kCorrupt, "{}: the header is not valid JSON at byte {}: {}", what_, position + 8,
         quote(e.what(), 120));
  }

 private:
  enum class Where { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  [[noreturn]] void fail_at(const std::string& problem) {
    fail(ErrorCode::kCorrupt, "{}: tensor {} {}; the file is damaged", what_, quote(name_), problem);
  }

  bool unexpected(const std::string& got) {
    if (where_ == Where::kOutside)
      fail(ErrorCode::kCorrupt, "{}: expected a JSON object as header, got {}", what_, got);
    if (where_ == Where::kMetadata)
      fail(ErrorCode::kCorrupt, "{}: __metadata__ {}: expected a string, got {}", what_, quote(field_), got);
    fail_at(fmt::format("has an unexpected value for {}: {}; expected dtype, shape and data_offsets",
                        quote(where_ == Where::kTop ? name_ : field_), got));
  }

  void set_dtype(const std::string& s) {
    if (dtype_) fail_at("has two dtypes");
    for (const auto& known : kDTypeNames) {
      if (s != known.name) continue;
      if (!known.dtype)
        fail(ErrorCode::kUnsupported,
             "{}: tensor {}: dtype {} is not supported; expected F32, F16, BF16, F8_E4M3, I8, U8, I32 or I64",
             what_, quote(name_), s);
      dtype_ = known.dtype;
      return;
    }
    fail_at("has the unknown dtype " + quote(s));
  }

  void add_tensor() {
    if (!dtype_ || !has_shape_ || offsets_.size() != 2) fail_at("lacks a dtype, a shape or two data_offsets");
    SafetensorsInfo info;
    info.name = name_;
    info.dtype = *dtype_;
    uint64_t numel = 1;
    for (uint64_t d : shape_) {
      if (d > kMaxElements || (d != 0 && numel > kMaxElements / d))
        fail_at("has a shape whose product overflows");
      numel *= d;
    }
    info.shape.rank = static_cast<int>(std::min<size_t>(shape_.size(), Shape::kMaxDims));
    for (size_t i = 0; i < shape_.size(); ++i) {
      auto d = static_cast<int64_t>(shape_[i]);
      if (i < Shape::kMaxDims)
        info.shape.dims[i] = d;
      else
        info.shape.dims[Shape::kMaxDims - 1] *= d;
    }
    if (offsets_[0] > offsets_[1])
      fail_at(fmt::format("begins at {} and ends at {}", offsets_[0], offsets_[1]));
    uint64_t expected = numel * static_cast<uint64_t>(dtype_info(*dtype_).block_bytes);
    if (offsets_[1] - offsets_[0] != expected)
      fail_at(fmt::format("has {} bytes; expected {} for its shape and dtype", offsets_[1] - offsets_[0],
                          expected));
    info.begin = offsets_[0];
    info.size_bytes = expected;
    out_.tensors.push_back(std::move(info));
  }

  const std::string& what_;
  SafetensorsContents& out_;
  Where where_ = Where::kOutside;
  std::string name_, field_;
  std::unordered_set<std::string> names_;
  std::optional<DType> dtype_;
  bool has_shape_ = false, has_offsets_ = false;
  std::vector<uint64_t> shape_, offsets_;
};

// Offsets become absolute; sorted by them, the tensors must tile the data.
void place_tensors(size_t file_bytes, const std::string& what, SafetensorsContents& out) {
  std::vector<size_t> order(out.tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const auto &x = out.tensors[a], &y = out.tensors[b];
    return x.begin != y.begin ? x.begin < y.begin : x.size_bytes < y.size_bytes;
  });
  uint64_t end = 0, data_bytes = file_bytes - out.header_bytes;
  for (size_t i : order) {
    auto& t = out.tensors[i];
    if (t.begin > data_bytes || t.size_bytes > data_bytes - t.begin)
      fail(ErrorCode::kCorrupt,
           "{}: tensor {}: its {} bytes at {} end beyond the file; is the download complete?", what,
           quote(t.name), t.size_bytes, t.begin);
    if (t.begin != end)
      fail(ErrorCode::kCorrupt, "{}: tensor {}: expected data offset {}, got {}: the data {}", what,
           quote(t.name), end, t.begin, t.begin < end ? "overlaps another tensor" : "leaves a hole");
    end += t.size_bytes;
  }
  if (end != data_bytes)
    fail(ErrorCode::kCorrupt, "{}: expected {} bytes of data as the header says, got {}", what, end,
         data_bytes);
  for (auto& t : out.tensors) t.begin += out.header_bytes;
}

}  // namespace

SafetensorsContents parse_safetensors(std::span<const std::byte> file, const std::string& what) {
  if (file.empty()) fail(ErrorCode::kCorrupt, "{}: the file is empty; expected safetensors", what);
  if (file.size() < 8)
    fail(ErrorCode::kCorrupt, "{}: cut off: expected 8 bytes of header length, got {}", what, file.size());
  uint64_t n = 0;
  std::memcpy(&n, file.data(), 8);
  if (n > kMaxSafetensorsHeader)
    fail(ErrorCode::kCorrupt, "{}: expected a header of at most {} bytes, got {}; is it a safetensors file?",
         what, kMaxSafetensorsHeader, n);
  if (n > file.size() - 8)
    fail(ErrorCode::kCorrupt, "{}: cut off: expected {} bytes of header, got {}; is the download complete?",
         what, n, file.size() - 8);
  SafetensorsContents out;
  out.header_bytes = 8 + n;
  std::string_view header(reinterpret_cast<const char*>(file.data()) + 8, n);
  if (header.empty() || header[0] != '{')
    fail(ErrorCode::kCorrupt, "{}: expected a JSON object as header, got {}; is it a safetensors file?", what,
         quote(header, 20));
  HeaderReader reader(what, out);
  nlohmann::json::sax_parse(header, &reader);
  place_tensors(file.size(), what, out);
  return out;
}

const char* safetensors_dtype_name(DType dtype) {
  for (const auto& known : kDTypeNames)
    if (known.dtype == dtype) return known.name;
  return nullptr;
}

}  // namespace turgo
