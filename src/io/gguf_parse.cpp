#include "io/gguf_parse.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "core/error.h"
#include "core/json.h"
#include "text/utf8.h"

namespace turgo {
namespace {

static_assert(std::endian::native == std::endian::little,
              "GGUF and safetensors are read as they lie in memory");

// A cursor that can not leave the span. Every failure says where it stood and what it wanted.
class Cursor {
 public:
  Cursor(std::span<const std::byte> file, const std::string& what) : file_(file), what_(what) {}

  size_t position() const { return position_; }
  size_t left() const { return file_.size() - position_; }
  const std::string& what() const { return what_; }

  template <class T>
  T read(const char* field) {
    T value;
    std::memcpy(&value, take(sizeof(T), field).data(), sizeof(T));
    return value;
  }
  std::span<const std::byte> take(uint64_t n, const char* field) {
    if (n > left())
      fail(ErrorCode::kCorrupt,
           "{}: cut off at byte {}: expected {} bytes of {}, got {}; is the download complete?", what_,
           position_, n, field, left());
    auto bytes = file_.subspan(position_, n);
    position_ += n;
    return bytes;
  }
  std::string_view read_string(const char* field, uint64_t max_bytes) {
    auto n = read<uint64_t>(field);
    if (n > max_bytes)
      fail(ErrorCode::kCorrupt,
           "{}: expected a {} of at most {} bytes at byte {}, got {}; the file is damaged", what_, field,
           max_bytes, position_ - 8, n);
    auto bytes = take(n, field);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

 private:
  std::span<const std::byte> file_;
  const std::string& what_;
  size_t position_ = 0;
};

template <class T>
T load(const std::byte* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

// One scalar of a fixed-size type as Json.
Json scalar(uint32_t type, const std::byte* p, const std::string& what, std::string_view key) {
  switch (static_cast<GgufType>(type)) {
    case GgufType::kU8:
      return load<uint8_t>(p);
    case GgufType::kI8:
      return load<int8_t>(p);
    case GgufType::kU16:
      return load<uint16_t>(p);
    case GgufType::kI16:
      return load<int16_t>(p);
    case GgufType::kU32:
      return load<uint32_t>(p);
    case GgufType::kI32:
      return load<int32_t>(p);
    case GgufType::kF32:
      return load<float>(p);
    case GgufType::kU64:
      return load<uint64_t>(p);
    case GgufType::kI64:
      return load<int64_t>(p);
    case GgufType::kF64:
      return load<double>(p);
    case GgufType::kBool: {
      auto b = load<uint8_t>(p);
      if (b > 1) fail(ErrorCode::kCorrupt, "{}: {}: expected a bool of 0 or 1, got {}", what, quote(key), b);
      return b == 1;
    }
    default:
      CHECK(false, "scalar of type {}", type);
      return nullptr;
  }
}

// Json strings must be UTF-8, or a later dump would throw; what is not becomes U+FFFD.
Json json_string(std::string_view s) {
  return is_valid_utf8(s) ? std::string(s) : repair_utf8(s);
}

void read_array(Cursor& in, const std::string& key, GgufContents& out, Json& value) {
  auto type = in.read<uint32_t>("an array's type");
  auto count = in.read<uint64_t>("an array's length");
  RawArray array{type, count, {}};
  if (type == static_cast<uint32_t>(GgufType::kArray))
    fail(ErrorCode::kUnsupported, "{}: {}: expected an array of scalars or strings, got an array of arrays",
         in.what(), quote(key));
  if (type > static_cast<uint32_t>(GgufType::kF64))
    fail(ErrorCode::kCorrupt, "{}: {}: expected an array type of 0…12, got {}", in.what(), quote(key), type);
  bool is_string = type == static_cast<uint32_t>(GgufType::kString);
  size_t min_bytes = is_string ? 8 : gguf_type_bytes(type);
  if (count > in.left() / min_bytes)
    fail(ErrorCode::kCorrupt, "{}: {}: cut off: an array of {} {} does not fit in the {} bytes left",
         in.what(), quote(key), count, gguf_type_name(type), in.left());
  bool small = count <= kMaxJsonArray && count <= kMaxJsonElements - out.json_elements;
  if (small) out.json_elements += count;
  value = Json::array();
  if (is_string) {
    Cursor begin = in;
    for (uint64_t i = 0; i < count; ++i) {
      auto s = in.read_string("array string", kMaxGgufStringBytes);
      if (small) value.push_back(json_string(s));
    }
    array.bytes = begin.take(in.position() - begin.position(), "strings");
  } else {
    array.bytes = in.take(count * min_bytes, "an array");
    if (type == static_cast<uint32_t>(GgufType::kBool))
      for (auto b : array.bytes) scalar(type, &b, in.what(), key);
    for (uint64_t i = 0; small && i < count; ++i)
      value.push_back(scalar(type, array.bytes.data() + i * min_bytes, in.what(), key));
  }
  if (!small) value = nullptr;
  out.arrays.emplace(key, array);
}

void read_metadata(Cursor& in, uint64_t num_kv, GgufContents& out) {
  out.metadata = std::make_unique<Json>(Json::object());
  // ordered_json finds keys by walking a vector; appending to the vector itself keeps this linear.
  using Entries = std::vector<Json::object_t::value_type>;
  auto& entries = static_cast<Entries&>(out.metadata->get_ref<Json::object_t&>());
  std::unordered_set<std::string_view> seen;
  for (uint64_t i = 0; i < num_kv; ++i) {
    std::string_view key = in.read_string("metadata key", kMaxGgufKeyBytes);
    if (key.empty() || !is_valid_utf8(key) || key.find('\0') != std::string_view::npos)
      fail(ErrorCode::kCorrupt, "{}: metadata key {} of {}: expected UTF-8 text, got {}", in.what(), i + 1,
           num_kv, quote(key));
    if (!seen.insert(key).second)
      fail(ErrorCode::kCorrupt, "{}: metadata key {} appears twice; expected unique keys", in.what(),
           quote(key));
    auto type = in.read<uint32_t>("a metadata type");
    Json value;
    if (type == static_cast<uint32_t>(GgufType::kString)) {
      value = json_string(in.read_string("metadata string", kMaxGgufStringBytes));
    } else if (type == static_cast<uint32_t>(GgufType::kArray)) {
      read_array(in, std::string(key), out, value);
      if (value.is_null()) continue;
    } else if (size_t n = gguf_type_bytes(type); n != 0) {
      value = scalar(type, in.take(n, "a metadata value").data(), in.what(), key);
    } else {
      fail(ErrorCode::kCorrupt, "{}: {}: expected a metadata type of 0…12, got {}", in.what(), quote(key),
           type);
    }
    if (key == "general.alignment") {
      if (type != static_cast<uint32_t>(GgufType::kU32))
        fail(ErrorCode::kCorrupt, "{}: general.alignment: expected type u32, got {}", in.what(),
             gguf_type_name(type));
      out.alignment = value.get<uint32_t>();
      if (!std::has_single_bit(out.alignment) || out.alignment > (1u << 20))
        fail(ErrorCode::kCorrupt, "{}: general.alignment: expected a power of two of at most 1048576, got {}",
             in.what(), out.alignment);
    }
    entries.emplace_back(std::string(key), std::move(value));
  }
}

// ne and the type; the offset stays relative to the data until the header's end is known.
GgufTensorInfo read_tensor_info(Cursor& in, uint64_t number) {
  GgufTensorInfo info;
  std::string_view name = in.read_string("tensor name", kMaxGgufNameBytes);
  if (name.empty() || !is_valid_utf8(name) || name.find('\0') != std::string_view::npos)
    fail(ErrorCode::kCorrupt, "{}: tensor {}: expected a name in UTF-8 without NUL, got {}", in.what(),
         number, quote(name));
  info.name = name;
  auto num_dims = in.read<uint32_t>("a tensor's rank");
  if (num_dims < 1 || num_dims > Shape::kMaxDims)
    fail(ErrorCode::kCorrupt, "{}: tensor {}: expected 1 to 4 dimensions, got {}", in.what(), quote(name),
         num_dims);
  info.shape.rank = static_cast<int>(num_dims);
  uint64_t numel = 1;
  for (uint32_t d = 0; d < num_dims; ++d) {
    auto ne = in.read<uint64_t>("a tensor's dimension");
    // 2^48 elements are beyond any disk, and leave room for every product with a block size below.
    if (ne == 0 || ne > (uint64_t{1} << 48) / numel)
      fail(ErrorCode::kCorrupt,
           "{}: tensor {}: expected dimensions of at least 1 and a sane product, got {} at {}", in.what(),
           quote(name), ne, d);
    numel *= ne;
    info.shape.dims[num_dims - 1 - d] = static_cast<int64_t>(ne);
  }
  auto type = in.read<uint32_t>("a tensor's type");
  auto dtype = dtype_from_ggml(type);
  if (!dtype)
    fail(type < 64 ? ErrorCode::kUnsupported : ErrorCode::kCorrupt,
         "{}: tensor {}: ggml type {} is not supported; expected F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
         "Q8_0 or Q2_K…Q6_K",
         in.what(), quote(name), type);
  info.dtype = *dtype;
  int64_t k = info.shape[info.shape.rank - 1];
  if (k % dtype_info(*dtype).block_size != 0)
    fail(ErrorCode::kCorrupt, "{}: tensor {}: expected rows of a multiple of {} elements for {}, got {}",
         in.what(), quote(name), dtype_info(*dtype).block_size, dtype_info(*dtype).name, k);
  info.size_bytes = static_cast<size_t>(row_bytes(*dtype, static_cast<int64_t>(numel)));
  info.begin = in.read<uint64_t>("a tensor's offset");
  return info;
}

// Offsets become absolute; data must lie in the file, aligned, without overlap, without holes beyond the
// padding.
void place_tensors(std::span<const std::byte> file, const std::string& what, GgufContents& out) {
  if (out.tensors.empty()) return;
  uint64_t align = out.alignment;
  uint64_t data = (out.header_bytes + align - 1) / align * align;
  std::vector<size_t> order(out.tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  auto offset = [&](size_t i) { return out.tensors[i].begin; };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return offset(a) < offset(b); });
  uint64_t end = 0;  // of the previous tensor, relative to data; at most file.size() by the check below
  for (size_t i : order) {
    auto& t = out.tensors[i];
    uint64_t expected = (end + align - 1) / align * align;
    if (t.begin % align != 0)
      fail(ErrorCode::kCorrupt, "{}: tensor {}: expected an offset that is a multiple of {}, got {}", what,
           quote(t.name), align, t.begin);
    if (data > file.size() || t.begin > file.size() - data || t.size_bytes > file.size() - data - t.begin)
      fail(ErrorCode::kCorrupt,
           "{}: tensor {}: {} bytes at offset {} end beyond the file's {} bytes; is the download complete?",
           what, quote(t.name), t.size_bytes, t.begin, file.size());
    if (t.begin != expected)
      fail(ErrorCode::kCorrupt, "{}: tensor {}: expected offset {}, got {}: the data {}", what, quote(t.name),
           expected, t.begin, t.begin < expected ? "overlaps another tensor" : "leaves a hole");
    end = t.begin + t.size_bytes;
  }
  for (auto& t : out.tensors) t.begin += data;
}

}  // namespace

GgufContents parse_gguf(std::span<const std::byte> file, const std::string& what) {
  if (file.empty()) fail(ErrorCode::kCorrupt, "{}: the file is empty; expected a GGUF model", what);
  Cursor in(file, what);
  auto magic = in.take(4, "the magic 'GGUF'");
  std::string_view text(reinterpret_cast<const char*>(magic.data()), 4);
  if (text != "GGUF")
    fail(ErrorCode::kCorrupt, "{}: expected the magic 'GGUF', got {}; is it a GGUF file?", what, quote(text));
  GgufContents out;
  out.version = in.read<uint32_t>("the version");
  if ((out.version & 0xffff) == 0 && out.version != 0)
    fail(ErrorCode::kUnsupported,
         "{}: a big-endian GGUF file; expected little endian, convert it with gguf's tools", what);
  if (out.version != 2 && out.version != 3)
    fail(ErrorCode::kUnsupported, "{}: expected GGUF version 2 or 3, got {}", what, out.version);
  auto num_tensors = in.read<uint64_t>("the number of tensors");
  auto num_kv = in.read<uint64_t>("the number of metadata keys");
  // The shortest tensor info is 8+1+4+8+4+8 bytes, the shortest metadata entry 8+1+4+1.
  if (num_tensors > kMaxGgufTensors || num_tensors > in.left() / 33)
    fail(ErrorCode::kCorrupt, "{}: cut off or damaged: {} tensors do not fit in {} bytes", what, num_tensors,
         file.size());
  if (num_kv > kMaxGgufKeys || num_kv > in.left() / 14)
    fail(ErrorCode::kCorrupt, "{}: cut off or damaged: {} metadata keys do not fit in {} bytes (limit {})",
         what, num_kv, file.size(), kMaxGgufKeys);
  read_metadata(in, num_kv, out);
  out.tensors.reserve(num_tensors);
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < num_tensors; ++i) {
    out.tensors.push_back(read_tensor_info(in, i + 1));
    if (!names.insert(out.tensors.back().name).second)
      fail(ErrorCode::kCorrupt, "{}: tensor {} appears twice; expected unique names", what,
           quote(out.tensors.back().name));
  }
  out.header_bytes = in.position();
  place_tensors(file, what, out);
  return out;
}

std::vector<std::string_view> gguf_strings(const RawArray& array) {
  CHECK_EQ(array.type, static_cast<uint32_t>(GgufType::kString));
  std::vector<std::string_view> out;
  out.reserve(array.count);
  const std::byte* p = array.bytes.data();
  for (uint64_t i = 0; i < array.count; ++i) {
    auto n = load<uint64_t>(p);
    out.emplace_back(reinterpret_cast<const char*>(p + 8), n);
    p += 8 + n;
  }
  return out;
}

}  // namespace turgo
