#include "compress/packed_formats.h"

#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace turgo {
namespace {

constexpr int kAwqOrder[8] = {0, 2, 4, 6, 1, 3, 5, 7};

template <class T>
OutputTensor tensor_of(std::string name, DType dtype, const Shape& shape, const std::vector<T>& values) {
  OutputTensor t{std::move(name), dtype, shape, std::vector<std::byte>(values.size() * sizeof(T))};
  CHECK_EQ(shape.numel() * dtype_info(dtype).block_bytes, static_cast<int64_t>(t.bytes.size()));
  if (!t.bytes.empty()) std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
  return t;
}

// b-bit fields from the lowest bit up.
void put_bits(uint32_t* words, int64_t index, int bits, uint32_t value) {
  const int64_t at = index * bits;
  words[at / 32] |= value << (at % 32);
  if (at % 32 + bits > 32) words[at / 32 + 1] |= value >> (32 - at % 32);
}

// [k/g, n] or [n, k/g] f16.
OutputTensor scales_of(const std::string& name, const QuantizedMatrix& q, bool by_row) {
  const int64_t groups = q.spec.groups(q.k);
  std::vector<f16> scales(q.grids.size());
  for (int64_t r = 0; r < q.n; ++r)
    for (int64_t g = 0; g < groups; ++g)
      scales[static_cast<size_t>(by_row ? r * groups + g : g * q.n + r)] = to_f16(q.grid(r, g).scale);
  return tensor_of(name, DType::kF16, by_row ? Shape{q.n, groups} : Shape{groups, q.n}, scales);
}

void add_awq(const std::string& name, const QuantizedMatrix& q, std::vector<OutputTensor>& out) {
  const int64_t groups = q.spec.groups(q.k), words = q.n / 8;
  std::vector<uint32_t> weight(static_cast<size_t>(q.k * words)), zeros(static_cast<size_t>(groups * words));
  for (int64_t c = 0; c < words; ++c)
    for (int i = 0; i < 8; ++i) {
      const int64_t r = 8 * c + kAwqOrder[i];
      for (int64_t j = 0; j < q.k; ++j)
        weight[static_cast<size_t>(j * words + c)] |= uint32_t{q.codes[static_cast<size_t>(r * q.k + j)]}
                                                      << (4 * i);
      for (int64_t g = 0; g < groups; ++g)
        zeros[static_cast<size_t>(g * words + c)] |= static_cast<uint32_t>(q.grid(r, g).zero) << (4 * i);
    }
  out.push_back(tensor_of(name + ".qweight", DType::kI32, Shape{q.k, words}, weight));
  out.push_back(tensor_of(name + ".qzeros", DType::kI32, Shape{groups, words}, zeros));
  out.push_back(scales_of(name + ".scales", q, false));
}

void add_gptq(const std::string& name, const QuantizedMatrix& q, std::vector<OutputTensor>& out) {
  const int bits = q.spec.bits;
  const int64_t groups = q.spec.groups(q.k), rows = q.k * bits / 32, words = q.n * bits / 32;
  std::vector<uint32_t> weight(static_cast<size_t>(rows * q.n)), zeros(static_cast<size_t>(groups * words)),
      column(static_cast<size_t>(rows));
  std::vector<int32_t> group_index(static_cast<size_t>(q.k));
  for (int64_t j = 0; j < q.k; ++j)
    group_index[static_cast<size_t>(j)] = static_cast<int32_t>(j / q.spec.group_of(q.k));
  for (int64_t r = 0; r < q.n; ++r) {
    std::fill(column.begin(), column.end(), 0);
    for (int64_t j = 0; j < q.k; ++j)
      put_bits(column.data(), j, bits, q.codes[static_cast<size_t>(r * q.k + j)]);
    for (int64_t w = 0; w < rows; ++w)
      weight[static_cast<size_t>(w * q.n + r)] = column[static_cast<size_t>(w)];
    for (int64_t g = 0; g < groups; ++g)
      put_bits(zeros.data() + g * words, r, bits, static_cast<uint32_t>(q.grid(r, g).zero));
  }
  out.push_back(tensor_of(name + ".qweight", DType::kI32, Shape{rows, q.n}, weight));
  out.push_back(tensor_of(name + ".qzeros", DType::kI32, Shape{groups, words}, zeros));
  out.push_back(scales_of(name + ".scales", q, false));
  out.push_back(tensor_of(name + ".g_idx", DType::kI32, Shape{q.k}, group_index));
}

void add_pack_quantized(const std::string& name, const QuantizedMatrix& q, std::vector<OutputTensor>& out) {
  const int bits = q.spec.bits;
  const int64_t groups = q.spec.groups(q.k), words = (q.k * bits + 31) / 32,
                zero_words = (q.n * bits + 31) / 32;
  std::vector<uint32_t> weight(static_cast<size_t>(q.n * words)),
      zeros(static_cast<size_t>(zero_words * groups));
  for (int64_t r = 0; r < q.n; ++r)
    for (int64_t j = 0; j < q.k; ++j)
      put_bits(weight.data() + r * words, j, bits, q.codes[static_cast<size_t>(r * q.k + j)]);
  out.push_back(tensor_of(name + ".weight_packed", DType::kI32, Shape{q.n, words}, weight));
  out.push_back(scales_of(name + ".weight_scale", q, true));
  out.push_back(tensor_of(name + ".weight_shape", DType::kI64, Shape{2}, std::vector<int64_t>{q.n, q.k}));
  if (q.spec.symmetric) return;
  std::vector<uint32_t> column(static_cast<size_t>(zero_words));
  for (int64_t g = 0; g < groups; ++g) {
    std::fill(column.begin(), column.end(), 0);
    for (int64_t r = 0; r < q.n; ++r)
      put_bits(column.data(), r, bits, static_cast<uint32_t>(q.grid(r, g).zero));
    for (int64_t w = 0; w < zero_words; ++w)
      zeros[static_cast<size_t>(w * groups + g)] = column[static_cast<size_t>(w)];
  }
  out.push_back(tensor_of(name + ".weight_zero_point", DType::kI32, Shape{zero_words, groups}, zeros));
}

void add_bytes(const std::string& name, const char* scale_name, const QuantizedMatrix& q, DType scale_type,
               std::vector<OutputTensor>& out) {
  std::vector<uint8_t> weight(q.codes.size());
  std::vector<float> scales(static_cast<size_t>(q.n));
  for (int64_t r = 0; r < q.n; ++r) {
    const GroupGrid& grid = q.grid(r, 0);
    scales[static_cast<size_t>(r)] = grid.scale;
    for (int64_t j = 0; j < q.k; ++j) {
      const auto at = static_cast<size_t>(r * q.k + j);
      weight[at] = static_cast<uint8_t>(int32_t{q.codes[at]} - grid.zero);
    }
  }
  out.push_back(
      tensor_of(name + ".weight", q.spec.e4m3 ? DType::kF8E4M3 : DType::kI8, Shape{q.n, q.k}, weight));
  out.push_back(dense_tensor(name + scale_name, scales.data(), Shape{q.n, 1}, scale_type));
}

bool is_w8a8(const QuantSpec& spec) {
  return spec.bits == 8 && spec.group_size < 0 && spec.symmetric;
}

}  // namespace

const char* folder_format_name(FolderFormat format) {
  constexpr const char* kNames[] = {"dense", "awq", "gptq", "compressed-tensors", "smooth_quant"};
  return kNames[static_cast<int>(format)];
}

OutputTensor dense_tensor(std::string name, const float* values, const Shape& shape, DType dtype) {
  const auto count = static_cast<size_t>(shape.numel());
  if (dtype == DType::kF32)
    return tensor_of(std::move(name), dtype, shape, std::vector<float>(values, values + count));
  std::vector<uint16_t> halves(count);
  for (size_t i = 0; i < count; ++i)
    halves[i] = dtype == DType::kBF16 ? to_bf16(values[i]).bits : to_f16(values[i]).bits;
  return tensor_of(std::move(name), dtype, shape, halves);
}

void check_format(FolderFormat format, const QuantSpec& spec, const std::string& name, int64_t n, int64_t k) {
  auto refuse = [&](const std::string& what) {
    fail(ErrorCode::kInvalidArgument, "{}: {} [{}, {}], {} bits in groups of {}; {}",
         folder_format_name(format), name, n, k, spec.bits, spec.group_of(k), what);
  };
  if (format == FolderFormat::kAwq && (spec.bits != 4 || n % 8 != 0))
    refuse("its files hold 4 bits of rows that are a multiple of 8; use --export gptq or compressed-tensors");
  if (format == FolderFormat::kGptq && (k * spec.bits % 32 != 0 || n * spec.bits % 32 != 0))
    refuse("its files need rows and columns that fill whole 32-bit words");
  if (format == FolderFormat::kSmoothQuant && !is_w8a8(spec))
    refuse("its files hold symmetric 8 bits per row");
}

std::vector<OutputTensor> quantized_tensors(const LinearMatrix& m, const QuantizedMatrix& q,
                                            FolderFormat format) {
  std::vector<OutputTensor> out;
  switch (format) {
    case FolderFormat::kAwq:
      add_awq(m.name, q, out);
      break;
    case FolderFormat::kGptq:
      add_gptq(m.name, q, out);
      break;
    case FolderFormat::kCompressedTensors:
      if (is_w8a8(q.spec)) {
        add_bytes(m.name, ".weight_scale", q, q.spec.e4m3 ? DType::kBF16 : DType::kF32, out);
      } else {
        add_pack_quantized(m.name, q, out);
      }
      break;
    case FolderFormat::kSmoothQuant:
      add_bytes(m.name, ".scale", q, DType::kF32, out);
      break;
    case FolderFormat::kDense: {
      std::vector<float> weight(static_cast<size_t>(q.n * q.k));
      for (int64_t r = 0; r < q.n; ++r) q.decode_row(r, weight.data() + r * q.k);
      out.push_back(dense_tensor(m.name + ".weight", weight.data(), Shape{q.n, q.k}, DType::kF32));
      break;
    }
  }
  if (!m.bias.empty()) out.push_back(dense_tensor(m.name + ".bias", m.bias.data(), Shape{m.n}, DType::kF16));
  return out;
}

Json quantization_config(FolderFormat format, const QuantSpec& spec, const std::map<std::string, int>& widths,
                         bool act_order) {
  switch (format) {
    case FolderFormat::kAwq:
      return {{"quant_method", "awq"},         {"version", "gemm"},  {"bits", spec.bits},
              {"group_size", spec.group_size}, {"zero_point", true}, {"modules_to_not_convert", nullptr}};
    case FolderFormat::kGptq:
      return {{"quant_method", "gptq"},        {"checkpoint_format", "gptq_v2"}, {"bits", spec.bits},
              {"group_size", spec.group_size}, {"sym", spec.symmetric},          {"desc_act", false},
              {"static_groups", true},         {"act_order_solve", act_order},   {"lm_head", false},
              {"pack_dtype", "int32"}};
    case FolderFormat::kCompressedTensors: {
      const bool w8a8 = is_w8a8(spec);
      const char* type = spec.e4m3 ? "float" : "int";
      Json weights = {{"num_bits", spec.bits},
                      {"type", type},
                      {"symmetric", spec.symmetric},
                      {"strategy", spec.group_size < 0 ? "channel" : "group"},
                      {"dynamic", false}};
      weights["group_size"] = spec.group_size < 0 ? Json(nullptr) : Json(spec.group_size);
      Json inputs = nullptr;
      if (w8a8)
        inputs = {
            {"num_bits", 8}, {"type", type}, {"symmetric", true}, {"strategy", "token"}, {"dynamic", true}};
      const char* name = spec.e4m3 ? "float-quantized" : w8a8 ? "int-quantized" : "pack-quantized";
      std::map<int, Json> targets;  // by bits
      for (const auto& [matrix, bits] : widths) targets[bits].push_back(matrix);
      if (targets.empty()) targets[spec.bits].push_back("Linear");
      Json groups = Json::object();
      for (auto& [bits, names] : targets) {
        weights["num_bits"] = bits;
        groups[fmt::format("group_{}", groups.size())] = {
            {"targets", names}, {"format", name}, {"weights", weights}, {"input_activations", inputs}};
      }
      return {{"quant_method", "compressed-tensors"},
              {"format", name},
              {"quantization_status", "compressed"},
              {"config_groups", groups},
              {"ignore", {"lm_head"}},
              {"kv_cache_scheme", nullptr}};
    }
    case FolderFormat::kSmoothQuant:
      return {{"quant_method", "smooth_quant"}, {"quant_dtype", spec.e4m3 ? "float8_e4m3fn" : "int8"}};
    case FolderFormat::kDense:
      break;
  }
  return nullptr;
}

}  // namespace turgo
