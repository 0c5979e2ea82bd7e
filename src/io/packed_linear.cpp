#include "io/packed_linear.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <unordered_set>

#include "core/error.h"
#include "core/log.h"
#include "io/json_file.h"
#include "kernels/common/raw_block.h"

namespace turgo {
namespace {

enum class Method : uint8_t { kNone, kAwq, kGptq, kCompressedTensors, kSmoothQuant, kFp8 };

// Where a code lies among the words of its tensor.
enum class CodeOrder : uint8_t {
  kAwq,    // [k][n / 8], eight rows to a word, interleaved
  kGptq,   // [k bits / 32][n], fields run along k
  kRows,   // [n][k bits / 32], fields run along k
  kBytes,  // i8 [n][k]
  kFloats  // e4m3 [n][k]
};

constexpr int kAwqShift[8] = {0, 16, 4, 20, 8, 24, 12, 28};  // of row 8 c + i in word c

uint32_t word_at(const RawTensor& t, int64_t i) {
  uint32_t w;
  std::memcpy(&w, t.bytes.data() + 4 * i, 4);
  return w;
}

// The index-th b-bit field of words that lie `stride` apart.
uint32_t field_at(const RawTensor& t, int64_t first, int64_t stride, int64_t index, int bits) {
  const int64_t bit = index * bits, w = bit / 32;
  const int shift = static_cast<int>(bit % 32);
  uint64_t x = word_at(t, first + w * stride);
  if (shift + bits > 32) x |= static_cast<uint64_t>(word_at(t, first + (w + 1) * stride)) << 32;
  return static_cast<uint32_t>(x >> shift) & ((1u << bits) - 1);
}

float float_at(const RawTensor& t, int64_t i) {
  uint16_t half;
  float x;
  if (t.dtype == DType::kF32) {
    std::memcpy(&x, t.bytes.data() + 4 * i, 4);
    return x;
  }
  std::memcpy(&half, t.bytes.data() + 2 * i, 2);
  return t.dtype == DType::kF16 ? to_f32(f16{half}) : to_f32(bf16{half});
}

// One linear: w[r][j] = scale[r / row_block][g] (code[r][j] - zero[r][g]), g = group_of[j].
struct PackedLinear final : RowReader {
  CodeOrder order = CodeOrder::kRows;
  bool gptq_v1 = false;  // stores zero - 1
  int bits = 4;
  int64_t n = 0, k = 0, num_groups = 0, group_size = 0;
  int64_t row_block = 1;  // rows that share their scales: more than one for e4m3 only
  const RawTensor *codes = nullptr, *scales = nullptr, *zeros = nullptr;  // zeros: null means 2^(bits - 1)
  std::vector<int32_t> group_of;                                          // [k], empty: j / group_size
  std::vector<int32_t> columns;                                           // as RowReader says
  DType dtype = DType::kF32;
  std::vector<RawTensor> kept;  // what the pointers point to

  std::span<const int32_t> column_order() const override { return columns; }
  void read(int64_t begin, int64_t count, std::byte* out) const override;

  float scale(int64_t r, int64_t g) const {
    if (scales->shape.numel() == 1) return float_at(*scales, 0);
    const bool by_group = order == CodeOrder::kAwq || order == CodeOrder::kGptq;
    return float_at(*scales, by_group ? g * n + r : r / row_block * num_groups + g);
  }
  int32_t zero(int64_t r, int64_t g) const;
  void read_codes(int64_t r, uint8_t* out) const;
  int64_t group(int64_t j) const {
    return group_of.empty() ? j / group_size : group_of[static_cast<size_t>(j)];
  }
  DType choose_type() const;
  void sort_columns();
};

int32_t PackedLinear::zero(int64_t r, int64_t g) const {
  if (!zeros) return 1 << (bits - 1);
  if (zeros->dtype == DType::kI8)
    return (1 << (bits - 1)) + static_cast<int8_t>(zeros->bytes[static_cast<size_t>(r * num_groups + g)]);
  switch (order) {
    case CodeOrder::kAwq:
      return static_cast<int32_t>((word_at(*zeros, g * (n / 8) + r / 8) >> kAwqShift[r % 8]) & 15);
    case CodeOrder::kGptq:
      return static_cast<int32_t>(field_at(*zeros, g * (n * bits / 32), 1, r, bits)) + (gptq_v1 ? 1 : 0);
    default:
      return static_cast<int32_t>(field_at(*zeros, g, num_groups, r, bits));
  }
}

void PackedLinear::read_codes(int64_t r, uint8_t* out) const {
  for (int64_t j = 0; j < k; ++j) {
    switch (order) {
      case CodeOrder::kAwq:
        out[j] = (word_at(*codes, j * (n / 8) + r / 8) >> kAwqShift[r % 8]) & 15;
        break;
      case CodeOrder::kGptq:
        out[j] = static_cast<uint8_t>(field_at(*codes, r, n, j, bits));
        break;
      case CodeOrder::kRows:
        out[j] = static_cast<uint8_t>(field_at(*codes, r * codes->shape[1], 1, j, bits));
        break;
      case CodeOrder::kBytes:
        out[j] = static_cast<uint8_t>(codes->bytes[static_cast<size_t>(r * k + j)]) ^ 0x80;
        break;
      case CodeOrder::kFloats:
        out[j] = static_cast<uint8_t>(codes->bytes[static_cast<size_t>(r * k + j)]);
        break;
    }
  }
}

void PackedLinear::read(int64_t begin, int64_t count, std::byte* out) const {
  std::vector<uint8_t> row(static_cast<size_t>(k));
  const int64_t block = dtype_info(dtype).block_size;
  for (int64_t r = begin; r < begin + count; ++r, out += row_bytes(dtype, k)) {
    read_codes(r, row.data());
    if (dtype == DType::kF32) {
      for (int64_t j = 0; j < k; ++j) {
        const int64_t g = group(j);
        const uint8_t code = row[static_cast<size_t>(j)];
        const float w = scale(r, g) * (order == CodeOrder::kFloats ? to_f32(e4m3{code})
                                                                   : static_cast<float>(code - zero(r, g)));
        std::memcpy(out + 4 * j, &w, 4);
      }
      continue;
    }
    for (int64_t b = 0; b < k / block; ++b) {
      RawBlock raw;
      auto source = [&](int64_t i) { return columns.empty() ? i : columns[static_cast<size_t>(i)]; };
      const int64_t g = group(source(b * block));
      const float d = scale(r, g);
      const bool whole = dtype == DType::kW8G64 || dtype == DType::kF8G64;
      raw.scale = whole ? std::bit_cast<uint32_t>(d) : to_f16(d).bits;
      raw.min = whole ? uint16_t{0} : to_f16(static_cast<float>(zero(r, g))).bits;
      for (int64_t i = 0; i < block; ++i) raw.quants[i] = row[static_cast<size_t>(source(b * block + i))];
      join_block(dtype, raw, out + b * dtype_info(dtype).block_bytes);
    }
  }
}

// Columns of a group side by side, if every group has as many.
void PackedLinear::sort_columns() {
  if (group_of.empty()) return;
  bool regular = true;
  for (int64_t j = 0; j < k && regular; ++j) regular = group_of[static_cast<size_t>(j)] == j / group_size;
  if (regular) {
    group_of.clear();
    return;
  }
  std::vector<int64_t> sizes(static_cast<size_t>(num_groups));
  for (int32_t g : group_of) ++sizes[static_cast<size_t>(g)];
  if (!std::ranges::all_of(sizes, [&](int64_t size) { return size == group_size; })) return;
  columns.resize(static_cast<size_t>(k));
  std::iota(columns.begin(), columns.end(), 0);
  std::ranges::stable_sort(columns, {}, [&](int32_t j) { return group_of[static_cast<size_t>(j)]; });
}

DType PackedLinear::choose_type() const {
  if (!group_of.empty() && columns.empty()) return DType::kF32;
  auto fits = [&](int64_t span) { return k % span == 0 && group_size % span == 0; };
  if (order == CodeOrder::kFloats) return fits(64) ? DType::kF8G64 : DType::kF32;
  if (bits == 8) {
    if (!fits(64)) return DType::kF32;
    for (int64_t r = 0; zeros && r < n; ++r)
      for (int64_t g = 0; g < num_groups; ++g)
        if (zero(r, g) != 128) return DType::kF32;
    return DType::kW8G64;
  }
  for (int64_t i = 0; scales->dtype != DType::kF16 && i < scales->shape.numel(); ++i)
    if (float x = float_at(*scales, i); to_f32(to_f16(x)) != x) return DType::kF32;
  if (!fits(32)) return DType::kF32;
  if (bits == 4) return fits(128) ? DType::kW4G128 : fits(64) ? DType::kW4G64 : DType::kW4G32;
  return bits == 3 ? DType::kW3G32 : bits == 2 ? DType::kW2G32 : DType::kF32;
}

struct Scheme {
  Method method = Method::kNone;
  std::string name;
  int bits = 0;
  int64_t group_size = -1;
  bool gptq_v1 = false;
  std::array<int64_t, 2> block{};  // rows and columns of e4m3 that share a scale, if they do
};

std::string text_of(const Json& j, const char* key) {
  auto it = j.find(key);
  return it != j.end() && it->is_string() ? it->get<std::string>() : "";
}

int64_t number_of(const Json& j, const char* key, int64_t fallback) {
  auto it = j.find(key);
  return it != j.end() && it->is_number_integer() ? it->get<int64_t>() : fallback;
}

// Two sizes of 1 to 2^20, or nothing.
std::array<int64_t, 2> block_of(const Json& j, const char* key) {
  auto it = j.find(key);
  if (it == j.end() || !it->is_array() || it->size() != 2) return {};
  for (const Json& size : *it)
    if (!size.is_number_integer() || size.get<int64_t>() < 1 || size.get<int64_t>() > 1 << 20) return {};
  return {(*it)[0].get<int64_t>(), (*it)[1].get<int64_t>()};
}

// What compressed-tensors calls a group is a set of linears; one with blocks says it for all.
std::array<int64_t, 2> block_of_groups(const Json& j) {
  auto groups = j.find("config_groups");
  if (groups == j.end() || !groups->is_object()) return {};
  for (const Json& group : *groups)
    if (auto weights = group.find("weights"); weights != group.end() && weights->is_object())
      if (const auto block = block_of(*weights, "block_structure"); block[0] > 0) return block;
  return {};
}

// config.json's object, or the file beside it that GPTQ wrote before there was one.
Json quantization_of(const ModelFileParts& parts) {
  for (const char* key : {"quantization_config", "compression_config"})
    if (auto it = parts.metadata->find(key); it != parts.metadata->end() && it->is_object()) return *it;
  const std::string old = (std::filesystem::path(parts.folder) / "quantize_config.json").string();
  std::error_code e;
  if (!std::filesystem::exists(old, e)) return nullptr;
  Json j = load_json_object(old);
  if (!j.contains("quant_method")) j["quant_method"] = "gptq";
  return j;
}

Scheme scheme_of(const Json& j, const std::string& path) {
  Scheme s;
  s.name = text_of(j, "quant_method");
  s.bits = static_cast<int>(std::clamp<int64_t>(number_of(j, "bits", number_of(j, "w_bit", 0)), 0, 99));
  s.group_size = number_of(j, "group_size", number_of(j, "q_group_size", -1));
  auto refuse = [&](const std::string& what, const std::string& expected) {
    fail(
        ErrorCode::kUnsupported,
        "{}: weights quantised by {} are not supported; expected {}; use the folder of the unquantised model "
        "or a GGUF file",
        quote(path, 200), quote(what), expected);
  };
  if (s.name == "awq") {
    s.method = Method::kAwq;
    const std::string version = text_of(j, "version");
    if (!version.empty() && version != "gemm" && version != "GEMM")
      refuse("awq version " + version, "version gemm");
    if (s.bits != 4) refuse(fmt::format("awq with {} bits", s.bits), "4 bits");
  } else if (s.name == "gptq") {
    s.method = Method::kGptq;
    const std::string format = text_of(j, "checkpoint_format");
    if (!format.empty() && format != "gptq" && format != "gptq_v2")
      refuse("gptq checkpoint_format " + format, "gptq or gptq_v2");
    s.gptq_v1 = format != "gptq_v2";
    if (s.bits != 2 && s.bits != 3 && s.bits != 4 && s.bits != 8)
      refuse(fmt::format("gptq with {} bits", s.bits), "2, 3, 4 or 8 bits");
  } else if (s.name == "compressed-tensors") {
    s.method = Method::kCompressedTensors;
    s.block = block_of_groups(j);
  } else if (s.name == "smooth_quant") {
    s.method = Method::kSmoothQuant;
  } else if (s.name == "fp8") {
    s.method = Method::kFp8;
    s.block = block_of(j, "weight_block_size");
    const std::string kind = text_of(j, "fmt");
    if (!kind.empty() && kind != "e4m3") refuse("fp8 of the kind " + kind, "e4m3");
  } else {
    refuse(s.name.empty() ? "an unnamed method" : s.name,
           "awq, gptq, compressed-tensors, smooth_quant or fp8");
  }
  return s;
}

// The tensors of one folder, those of a linear by the ends of their names.
class Joiner {
 public:
  Joiner(ModelFileParts& parts, Scheme scheme) : parts_(parts), scheme_(std::move(scheme)) {
    for (const RawTensor& t : parts_.tensors) by_name_.emplace(t.name, &t);
  }

  void run();

 private:
  using Parts = PackedLinear;
  const RawTensor* find(const std::string& name) {
    auto it = by_name_.find(name);
    if (it == by_name_.end()) return nullptr;
    used_.insert(it->first);
    return it->second;
  }
  const RawTensor& need(const std::string& name, const std::string& of) {
    const RawTensor* t = find(name);
    if (!t) bad(of, fmt::format("expected a tensor {} beside it", quote(name, 100)));
    return *t;
  }
  [[noreturn]] void bad(const std::string& tensor, const std::string& what) const {
    fail(ErrorCode::kCorrupt, "{}: tensor {}: {}", quote(parts_.path, 200), quote(tensor, 100), what);
  }
  void expect(const RawTensor& t, std::initializer_list<DType> types, const Shape& shape) const {
    if (std::ranges::find(types, t.dtype) == types.end())
      bad(t.name,
          fmt::format("type {} can not be this part of a {} weight", dtype_info(t.dtype).name, scheme_.name));
    if (!(t.shape == shape))
      bad(t.name, fmt::format("expected shape {}, got {}", shape.str(), t.shape.str()));
  }
  void expect_scales(const RawTensor& t, const Shape& shape) const {
    expect(t, {DType::kF16, DType::kBF16, DType::kF32}, shape);
  }

  bool join_words(const RawTensor& t, PackedLinear& p);  // AWQ, GPTQ
  bool join_compressed(const RawTensor& t, PackedLinear& p);
  bool join_bytes(const RawTensor& t, const char* scale_name, PackedLinear& p);
  bool join_floats(const RawTensor& t, const char* scale_name, PackedLinear& p);
  bool join(const RawTensor& t, PackedLinear& p);
  void read_groups(const RawTensor* index, PackedLinear& p) const;
  void settle_groups(int64_t groups, const RawTensor& scales, PackedLinear& p) const;
  RawTensor finish(const RawTensor& main, const std::string& base, std::shared_ptr<PackedLinear> p) const;

  ModelFileParts& parts_;
  Scheme scheme_;
  std::unordered_map<std::string_view, const RawTensor*> by_name_;
  std::unordered_set<std::string_view> used_;
  std::string base_;
};

void Joiner::settle_groups(int64_t groups, const RawTensor& scales, PackedLinear& p) const {
  p.num_groups = groups;
  p.group_size = groups > 0 && p.k % groups == 0 ? p.k / groups : scheme_.group_size;
  if (p.k < 1 || p.n < 1 || groups < 1 || p.group_size < 1 ||
      (p.k + p.group_size - 1) / p.group_size != groups)
    bad(scales.name, fmt::format("{} groups do not share {} columns", groups, p.k));
}

void Joiner::read_groups(const RawTensor* index, PackedLinear& p) const {
  if (!index) return;
  expect(*index, {DType::kI32, DType::kI64}, Shape{p.k});
  p.group_of.resize(static_cast<size_t>(p.k));
  int64_t unset = 0;
  for (int64_t j = 0; j < p.k; ++j) {
    int64_t g = 0;
    if (index->dtype == DType::kI64) {
      std::memcpy(&g, index->bytes.data() + 8 * j, 8);
    } else {
      g = static_cast<int32_t>(word_at(*index, j));
    }
    unset += g == -1;  // compressed-tensors: never filled in
    if (g < -1 || g >= p.num_groups || (g == -1 && unset != j + 1))
      bad(index->name,
          fmt::format("element {}: expected a group of 0 to {}, got {}", j, p.num_groups - 1, g));
    p.group_of[static_cast<size_t>(j)] = static_cast<int32_t>(g);
  }
  if (unset > 0 && unset < p.k) bad(index->name, "expected a group for every column");
  if (unset > 0) p.group_of.clear();
}

bool Joiner::join_words(const RawTensor& t, PackedLinear& p) {
  if (!t.name.ends_with(".qweight")) return false;
  base_ = t.name.substr(0, t.name.size() - 8);
  const bool awq = scheme_.method == Method::kAwq;
  if (t.shape.rank != 2 || t.dtype != DType::kI32) bad(t.name, "expected a matrix of i32");
  const RawTensor& scales = need(base_ + ".scales", t.name);
  const RawTensor* index = awq ? nullptr : find(base_ + ".g_idx");
  p.codes = &t;
  p.scales = &scales;
  p.zeros = find(base_ + ".qzeros");
  p.bits = scheme_.bits;
  if (awq) {
    p.order = CodeOrder::kAwq;
    p.k = t.shape[0];
    p.n = t.shape[1] * 8;
  } else {
    p.order = CodeOrder::kGptq;
    p.gptq_v1 = scheme_.gptq_v1;
    p.n = t.shape[1];
    p.k = index && index->shape.rank == 1 ? index->shape[0] : t.shape[0] * 32 / p.bits;
    // Some tools give linears bits of their own.
    for (int bits : {2, 3, 4, 8})
      if (p.k * bits == t.shape[0] * 32) p.bits = bits;
    if (p.k * p.bits != t.shape[0] * 32 || p.n * p.bits % 32 != 0)
      bad(t.name, fmt::format("{} does not hold whole rows of {} bits", t.shape.str(), p.bits));
  }
  settle_groups(scales.shape.rank == 2 ? scales.shape[0] : 0, scales, p);
  expect_scales(scales, Shape{p.num_groups, p.n});
  if (p.zeros) expect(*p.zeros, {DType::kI32}, Shape{p.num_groups, p.n * p.bits / 32});
  read_groups(index, p);
  return true;
}

bool Joiner::join_compressed(const RawTensor& t, PackedLinear& p) {
  if (!t.name.ends_with(".weight_packed"))
    return join_bytes(t, ".weight_scale", p) || join_floats(t, ".weight_scale", p);
  base_ = t.name.substr(0, t.name.size() - 14);
  if (t.shape.rank != 2 || t.dtype != DType::kI32) bad(t.name, "expected a matrix of i32");
  const RawTensor& scales = need(base_ + ".weight_scale", t.name);
  const RawTensor& shape = need(base_ + ".weight_shape", t.name);
  if (shape.dtype != DType::kI64 && shape.dtype != DType::kI32) bad(shape.name, "expected integers");
  expect(shape, {shape.dtype}, Shape{2});
  int64_t size[2];
  for (int i = 0; i < 2; ++i) {
    if (shape.dtype == DType::kI64) {
      std::memcpy(&size[i], shape.bytes.data() + 8 * i, 8);
    } else {
      size[i] = static_cast<int32_t>(word_at(shape, i));
    }
  }
  p.codes = &t;
  p.scales = &scales;
  p.zeros = find(base_ + ".weight_zero_point");
  p.n = t.shape[0];
  p.k = size[1];
  if (size[0] != p.n || p.k < 1 || p.k > t.shape[1] * 16)
    bad(shape.name, fmt::format("[{}, {}] does not fit {} of {}", size[0], size[1], t.shape.str(), t.name));
  p.bits = 0;
  for (int bits : {2, 3, 4, 8})
    if (t.shape[1] == (p.k * bits + 31) / 32) p.bits = bits;
  if (p.bits == 0)
    bad(t.name, fmt::format("{} words do not hold {} codes of 2, 3, 4 or 8 bits", t.shape[1], p.k));
  settle_groups(scales.shape.rank == 2 ? scales.shape[1] : 0, scales, p);
  expect_scales(scales, Shape{p.n, p.num_groups});
  if (p.zeros && p.zeros->dtype == DType::kI8) {
    expect(*p.zeros, {DType::kI8}, Shape{p.n, p.num_groups});
  } else if (p.zeros) {
    expect(*p.zeros, {DType::kI32}, Shape{(p.n * p.bits + 31) / 32, p.num_groups});
  }
  read_groups(find(base_ + ".weight_g_idx"), p);
  return true;
}

bool Joiner::join_bytes(const RawTensor& t, const char* scale_name, PackedLinear& p) {
  if (!t.name.ends_with(".weight") || t.dtype != DType::kI8) return false;
  base_ = t.name.substr(0, t.name.size() - 7);
  if (t.shape.rank != 2) bad(t.name, "expected a matrix");
  const RawTensor& scales = need(base_ + scale_name, t.name);
  p.order = CodeOrder::kBytes;
  p.bits = 8;
  p.codes = &t;
  p.scales = &scales;
  p.n = t.shape[0];
  p.k = t.shape[1];
  settle_groups(1, scales, p);
  if (scales.shape.numel() != p.n && scales.shape.numel() != 1)
    bad(scales.name, fmt::format("expected one scale or {} for the rows, got {}", p.n, scales.shape.str()));
  expect_scales(scales, scales.shape);
  p.zeros = find(base_ + ".weight_zero_point");
  if (p.zeros) {
    if (p.zeros->shape.numel() != p.n) bad(p.zeros->name, fmt::format("expected {} zero points", p.n));
    expect(*p.zeros, {DType::kI8}, p.zeros->shape);
  }
  return true;
}

bool Joiner::join_floats(const RawTensor& t, const char* scale_name, PackedLinear& p) {
  if (!t.name.ends_with(".weight") || t.dtype != DType::kF8E4M3) return false;
  base_ = t.name.substr(0, t.name.size() - 7);
  if (t.shape.rank != 2 || t.shape.numel() == 0) bad(t.name, "expected a matrix");
  const RawTensor& scales = need(base_ + scale_name, t.name);
  p.order = CodeOrder::kFloats;
  p.bits = 8;
  p.codes = &t;
  p.scales = &scales;
  p.n = t.shape[0];
  p.k = t.shape[1];
  expect_scales(scales, scales.shape);
  const auto [block_rows, block_columns] = scheme_.block;
  const Shape blocks =
      block_rows > 0 ? Shape{(p.n + block_rows - 1) / block_rows, (p.k + block_columns - 1) / block_columns}
                     : Shape{};
  const int64_t rows = scales.shape.rank > 0 ? scales.shape[0] : 1;
  if (scales.shape.numel() == 1) {
    settle_groups(1, scales, p);
  } else if (block_rows > 0 && scales.shape == blocks) {
    p.row_block = block_rows;
    p.num_groups = blocks[1];
    p.group_size = block_columns;
  } else if (rows == p.n && scales.shape.rank <= 2) {
    settle_groups(scales.shape.rank == 2 ? scales.shape[1] : 1, scales, p);
  } else {
    bad(scales.name, fmt::format("expected one scale, {} for the rows{}, got {}", p.n,
                                 block_rows > 0 ? fmt::format(" or {} for blocks of {} x {}", blocks.str(),
                                                              block_rows, block_columns)
                                                : "",
                                 scales.shape.str()));
  }
  // Some tools write zero points that float weights do not have.
  if (const RawTensor* zeros = find(base_ + ".weight_zero_point"))
    if (!std::ranges::all_of(zeros->bytes, [](std::byte b) { return b == std::byte{0}; }))
      bad(zeros->name, "expected nothing but zeros beside float weights");
  return true;
}

bool Joiner::join(const RawTensor& t, PackedLinear& p) {
  switch (scheme_.method) {
    case Method::kCompressedTensors:
      return join_compressed(t, p);
    case Method::kSmoothQuant:
      return join_bytes(t, ".scale", p) || join_floats(t, ".scale", p);
    case Method::kFp8:  // the scales of blocks are called inverse: they multiply all the same
      return join_floats(t, scheme_.block[0] > 0 ? ".weight_scale_inv" : ".weight_scale", p);
    default:
      return join_words(t, p);
  }
}

RawTensor Joiner::finish(const RawTensor& main, const std::string& base,
                         std::shared_ptr<PackedLinear> p) const {
  p->kept.reserve(3);  // the tensors of `parts_` move when they are replaced
  for (const RawTensor** part : {&p->codes, &p->scales, &p->zeros}) {
    if (!*part) continue;
    p->kept.push_back(**part);
    *part = &p->kept.back();
  }
  p->sort_columns();
  p->dtype = p->choose_type();
  if (p->dtype == DType::kF32) p->columns.clear();
  return {base + ".weight", p->dtype, Shape{p->n, p->k}, main.bytes, main.file, std::move(p)};
}

void Joiner::run() {
  std::vector<RawTensor> joined;
  int64_t widened = 0;
  for (const RawTensor& t : parts_.tensors) {
    auto p = std::make_shared<PackedLinear>();
    if (!join(t, *p)) continue;
    used_.insert(t.name);
    joined.push_back(finish(t, base_, std::move(p)));
    widened += joined.back().dtype == DType::kF32;
  }
  if (joined.empty())
    fail(ErrorCode::kCorrupt,
         "{}: config.json says that its weights are quantised by {}, but there are no such tensors",
         quote(parts_.path, 200), quote(scheme_.name));
  if (widened > 0)
    log_warning("{}: {} of {} quantised matrices fit no packed type exactly and are held as f32",
                quote(parts_.path, 200), widened, joined.size());
  // Activations are quantised as they come: scales that a tool fixed beforehand are not used.
  auto unused = [&](const std::string& name) {
    return used_.contains(name) ||
           std::ranges::any_of(std::initializer_list<const char*>{".input_scale", ".input_zero_point",
                                                                  ".output_scale", ".k_scale", ".v_scale"},
                               [&](const char* end) { return name.ends_with(end); });
  };
  std::vector<RawTensor> all;
  for (const RawTensor& t : parts_.tensors)
    if (!unused(t.name)) all.push_back(t);
  for (RawTensor& t : joined) all.push_back(std::move(t));
  parts_.tensors = std::move(all);
  parts_.quantization = scheme_.name;
}

}  // namespace

void join_packed_linears(ModelFileParts& parts) {
  const Json config = quantization_of(parts);
  if (!config.is_object()) return;
  Joiner(parts, scheme_of(config, parts.path)).run();
}

}  // namespace turgo
