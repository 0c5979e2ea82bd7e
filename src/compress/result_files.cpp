#include "compress/result_files.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compress/gguf_metadata.h"
#include "compress/hf_files.h"
#include "core/error.h"
#include "io/gguf_writer.h"
#include "io/safetensors_writer.h"
#include "kernels/common/quant_blocks.h"

namespace turgo {
namespace {

constexpr int64_t kShardBytes = int64_t{5} << 30;  // as Hugging Face cuts

struct NormName {
  std::vector<float> SourceLayer::* values;
  const char *hf, *gguf;
};

// Gemma has a norm before and after each part; everywhere else the one before the MLP has the older name.
std::vector<NormName> norm_names(bool post_norms) {
  return {{&SourceLayer::input_norm, "input_layernorm", "attn_norm"},
          {&SourceLayer::post_attention_norm, "post_attention_layernorm", "post_attention_norm"},
          {&SourceLayer::pre_mlp_norm, post_norms ? "pre_feedforward_layernorm" : "post_attention_layernorm",
           "ffn_norm"},
          {&SourceLayer::post_mlp_norm, "post_feedforward_layernorm", "post_ffw_norm"},
          {&SourceLayer::q_norm, "self_attn.q_norm", "attn_q_norm"},
          {&SourceLayer::k_norm, "self_attn.k_norm", "attn_k_norm"}};
}

const char* gguf_name(const SourceLayer& l, const LinearMatrix* m) {
  return m == &l.q      ? "attn_q"
         : m == &l.k    ? "attn_k"
         : m == &l.v    ? "attn_v"
         : m == &l.o    ? "attn_output"
         : m == &l.gate ? "ffn_gate"
         : m == &l.up   ? "ffn_up"
                        : "ffn_down";
}

// Norms of a Hugging Face Gemma are stored as what is added to one.
bool stores_norm_offset(const DecoderConfig& c) {
  return c.architecture == "gemma3";
}

// The bytes of row r in Q4_0, Q4_1 or Q8_0 with the codes and scales as they are.
void encode_blocks(const QuantizedMatrix& q, int64_t r, DType type, std::byte* out) {
  for (int64_t g = 0; g < q.k / 32; ++g) {
    const GroupGrid& grid = q.grid(r, g);
    const uint8_t* code = q.codes.data() + r * q.k + g * 32;
    const f16 d = to_f16(grid.scale);
    if (type == DType::kQ8_0) {
      BlockQ8_0 b{d, {}};
      for (int i = 0; i < 32; ++i) b.qs[i] = static_cast<int8_t>(int{code[i]} - grid.zero);
      std::memcpy(out + g * static_cast<int64_t>(sizeof b), &b, sizeof b);
    } else if (type == DType::kQ4_0) {
      BlockQ4_0 b{d, {}};
      for (int i = 0; i < 16; ++i) b.qs[i] = static_cast<uint8_t>(code[i] | code[i + 16] << 4);
      std::memcpy(out + g * static_cast<int64_t>(sizeof b), &b, sizeof b);
    } else {
      BlockQ4_1 b{d, to_f16(-grid.scale * static_cast<float>(grid.zero)), {}};
      for (int i = 0; i < 16; ++i) b.qs[i] = static_cast<uint8_t>(code[i] | code[i + 16] << 4);
      std::memcpy(out + g * static_cast<int64_t>(sizeof b), &b, sizeof b);
    }
  }
}

// Hugging Face's row of a head -> the place of GGUF's llama, which keeps rope pairs as neighbours.
int64_t gguf_row(int64_t row, int64_t head_dim) {
  const int64_t i = row % head_dim, half = head_dim / 2;
  return row - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}

OutputTensor gguf_matrix(const SourceLayer& l, const LinearMatrix& m, const QuantizedMatrix& q, DType type,
                         bool permute) {
  const int64_t bytes = row_bytes(type, m.k);
  OutputTensor t{fmt::format("blk.{}.{}.weight", l.index, gguf_name(l, &m)), type, Shape{m.n, m.k},
                 std::vector<std::byte>(static_cast<size_t>(m.n * bytes))};
  const bool moves = permute && (&m == &l.q || &m == &l.k);
  for (int64_t r = 0; r < m.n; ++r)
    encode_blocks(q, r, type, t.bytes.data() + (moves ? gguf_row(r, l.config.head_dim) : r) * bytes);
  return t;
}

std::vector<OutputTensor> gguf_layer(const CompressedLayer& c, const SourceModel& source,
                                     const ResultFormat& format) {
  std::vector<OutputTensor> out;
  const SourceLayer& l = c.layer;
  for (const NormName& norm : norm_names(source.config().post_norms))
    if (const auto& v = l.*norm.values; !v.empty())
      out.push_back(dense_tensor(fmt::format("blk.{}.{}.weight", l.index, norm.gguf), v.data(),
                                 Shape{static_cast<int64_t>(v.size())}, DType::kF32));
  const auto linears = l.linears();
  for (size_t i = 0; i < linears.size(); ++i) {
    const LinearMatrix& m = *linears[i];
    const bool permute = gguf_architecture(source) == "llama";
    out.push_back(gguf_matrix(l, m, c.matrices[i], format.block, permute));
    if (m.bias.empty()) continue;
    std::vector<float> bias(m.bias.size());
    const bool moves = permute && (&m == &l.q || &m == &l.k);
    for (int64_t r = 0; r < m.n; ++r)
      bias[static_cast<size_t>(moves ? gguf_row(r, l.config.head_dim) : r)] = m.bias[static_cast<size_t>(r)];
    out.push_back(dense_tensor(fmt::format("blk.{}.{}.bias", l.index, gguf_name(l, &m)), bias.data(),
                               Shape{m.n}, DType::kF32));
  }
  return out;
}

// --- one GGUF file ---

// Tables that were not compressed: 8 bits, as other tools write them; f16 where blocks do not fit.
DType table_type(const RawTensor& table) {
  return table.shape[1] % 32 == 0 ? DType::kQ8_0 : DType::kF16;
}

void write_gguf_table(const RawTensor& table, GgufWriter& writer) {
  const int64_t k = table.shape[1], step = std::max<int64_t>(1, (int64_t{8} << 20) / (k * 4));
  const DType type = table_type(table);
  std::vector<float> rows(static_cast<size_t>(step * k));
  std::vector<std::byte> blocks(static_cast<size_t>(step * row_bytes(type, k)));
  for (int64_t r = 0; r < table.shape[0]; r += step) {
    const int64_t count = std::min(step, table.shape[0] - r);
    read_rows(table, r, count, rows.data());
    quantize_row(type, rows.data(), blocks.data(), count * k);
    writer.write_tensor(std::span(blocks).first(static_cast<size_t>(count * row_bytes(type, k))));
  }
}

void write_gguf(const SourceModel& source, const DecoderConfig& config, DType block, const WorkFolder& work,
                const std::string& path) {
  const bool from_folder = source.file().kind() != ModelFile::Kind::kGguf;
  GgufHeader header;
  if (from_folder) describe_as_gguf(source, config, header);
  std::vector<const RawTensor*> tables = {&source.embed_tokens()};
  if (!source.tied()) tables.push_back(&source.lm_head());
  if (from_folder) {
    for (const RawTensor* t : tables)
      header.add_tensor(t == tables[0] ? "token_embd.weight" : "output.weight", table_type(*t), t->shape);
    header.add_tensor("output_norm.weight", DType::kF32, Shape{config.hidden_size});
  } else {
    header.set_u32(config.architecture + ".feed_forward_length",
                   static_cast<uint32_t>(config.layers.front().intermediate_size));
    header.copy_metadata(source.file());
    for (const RawTensor& t : source.file().tensors())
      if (t.name.starts_with("output_norm.") || t.name.starts_with("rope_f")) tables.push_back(&t);
    for (const RawTensor* t : tables) header.add_tensor(t->name, t->dtype, t->shape);
  }
  for (int i = 0; i < work.num_done(); ++i)
    work.for_each_tensor(i, [&](const RawTensor& t) {
      if (t.dtype != DType::kU8) {
        header.add_tensor(t.name, t.dtype, t.shape);
        return;
      }
      const DTypeInfo info = dtype_info(block);  // kept as bytes: see WorkFolder
      header.add_tensor(t.name, block, Shape{t.shape[0], t.shape[1] / info.block_bytes * info.block_size});
    });
  GgufWriter writer(path, header);
  for (const RawTensor* t : tables) {
    if (from_folder) {
      write_gguf_table(*t, writer);
    } else {
      writer.write_tensor(t->bytes);
    }
  }
  const std::vector<float> norm = source.final_norm();
  if (from_folder) writer.write_tensor(std::as_bytes(std::span(norm)));
  for (int i = 0; i < work.num_done(); ++i)
    work.for_each_tensor(i, [&](const RawTensor& t) { writer.write_tensor(t.bytes); });
  writer.finish();
}

// --- a Hugging Face folder ---

std::vector<OutputTensor> folder_layer(const CompressedLayer& c, const SourceModel& source,
                                       const ResultFormat& format) {
  std::vector<OutputTensor> out;
  const SourceLayer& l = c.layer;
  const DecoderConfig& config = source.config();
  for (const NormName& norm : norm_names(config.post_norms)) {
    std::vector<float> v = l.*norm.values;
    if (v.empty()) continue;
    if (stores_norm_offset(config))
      for (float& x : v) x -= 1;
    out.push_back(dense_tensor(fmt::format("model.layers.{}.{}.weight", l.index, norm.hf), v.data(),
                               Shape{static_cast<int64_t>(v.size())}, format.dense));
  }
  const auto linears = l.linears();
  for (size_t i = 0; i < linears.size(); ++i) {
    const LinearMatrix& m = *linears[i];
    if (!c.matrices.empty() && format.folder != FolderFormat::kDense) {
      for (OutputTensor& t : quantized_tensors(m, c.matrices[i], format.folder)) out.push_back(std::move(t));
      continue;
    }
    out.push_back(dense_tensor(m.name + ".weight", m.weight.data(), Shape{m.n, m.k}, format.dense));
    if (!m.bias.empty())
      out.push_back(dense_tensor(m.name + ".bias", m.bias.data(), Shape{m.n}, format.dense));
  }
  return out;
}

// A table that may be larger than memory should hold: rows are converted and written in pieces.
void write_table(const RawTensor& table, DType dtype, SafetensorsWriter& writer) {
  const int64_t k = table.shape[1], step = std::max<int64_t>(1, (int64_t{8} << 20) / (k * 4));
  std::vector<float> rows(static_cast<size_t>(step * k));
  for (int64_t r = 0; r < table.shape[0]; r += step) {
    const int64_t count = std::min(step, table.shape[0] - r);
    read_rows(table, r, count, rows.data());
    writer.write_tensor(dense_tensor("", rows.data(), Shape{count, k}, dtype).bytes);
  }
}

std::vector<float> final_norm_of(const SourceModel& source) {
  std::vector<float> norm = source.final_norm();
  if (stores_norm_offset(source.config()))
    for (float& x : norm) x -= 1;
  return norm;
}

// Which layers go into which file: as many as fit into 5 GB, the tables with the first.
std::vector<std::pair<int, int>> shards_of(const SourceModel& source, const WorkFolder& work, DType dense) {
  std::vector<std::pair<int, int>> shards;
  int64_t bytes = 2 * source.embed_tokens().shape.numel() * dtype_info(dense).block_bytes;
  int begin = 0;
  for (int i = 0; i < work.num_done(); ++i) {
    int64_t layer = 0;
    work.for_each_tensor(i, [&](const RawTensor& t) { layer += static_cast<int64_t>(t.bytes.size()); });
    if (bytes > 0 && bytes + layer > kShardBytes) {
      shards.emplace_back(begin, i);
      begin = i;
      bytes = 0;
    }
    bytes += layer;
  }
  shards.emplace_back(begin, work.num_done());
  return shards;
}

void write_weights(const SourceModel& source, const ResultFormat& format, const WorkFolder& work,
                   const std::string& folder) {
  const auto shards = shards_of(source, work, format.dense);
  Json weight_map = Json::object();
  int64_t total = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    const std::string name = shards.size() == 1
                                 ? "model.safetensors"
                                 : fmt::format("model-{:05}-of-{:05}.safetensors", s + 1, shards.size());
    SafetensorsWriter writer(folder + "/" + name);
    writer.set_metadata("format", "pt");
    auto declare = [&](const std::string& tensor, DType dtype, const Shape& shape) {
      writer.declare(tensor, dtype, shape);
      weight_map[tensor] = name;
      total += shape.numel() * dtype_info(dtype).block_bytes;
    };
    std::vector<float> norm;
    if (s == 0) {
      norm = final_norm_of(source);
      declare("model.embed_tokens.weight", format.dense, source.embed_tokens().shape);
      if (!source.tied()) declare("lm_head.weight", format.dense, source.lm_head().shape);
      declare("model.norm.weight", format.dense, Shape{static_cast<int64_t>(norm.size())});
    }
    for (int i = shards[s].first; i < shards[s].second; ++i)
      work.for_each_tensor(i, [&](const RawTensor& t) { declare(t.name, t.dtype, t.shape); });
    if (s == 0) {
      write_table(source.embed_tokens(), format.dense, writer);
      if (!source.tied()) write_table(source.lm_head(), format.dense, writer);
      writer.write_tensor(
          dense_tensor("", norm.data(), Shape{static_cast<int64_t>(norm.size())}, format.dense).bytes);
    }
    for (int i = shards[s].first; i < shards[s].second; ++i)
      work.for_each_tensor(i, [&](const RawTensor& t) { writer.write_tensor(t.bytes); });
    writer.finish();
  }
  if (shards.size() == 1) return;
  AtomicFile index(folder + "/model.safetensors.index.json");
  index.write(Json{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}.dump(2) + "\n");
  index.commit();
}

void write_folder(const SourceModel& source, const DecoderConfig& config, const Recipe& recipe,
                  const ResultFormat& format, const WorkFolder& work, const std::string& path) {
  std::error_code e;
  std::filesystem::create_directory(path, e);
  if (e) fail(ErrorCode::kIo, "cannot create {}: {}", quote(path, 200), e.message());
  write_weights(source, format, work, path);
  write_hf_companions(source, path);
  const char* dtype = format.dense == DType::kF32   ? "float32"
                      : format.dense == DType::kF16 ? "float16"
                                                    : "bfloat16";
  Json j = hf_config(source, config, dtype);
  if (recipe.quantize && format.folder != FolderFormat::kDense)
    j["quantization_config"] =
        quantization_config(format.folder, recipe.spec, recipe.widths, format.act_order);
  AtomicFile file(path + "/config.json");
  file.write(j.dump(2) + "\n");
  file.commit();
}

}  // namespace

std::vector<OutputTensor> layer_tensors(const CompressedLayer& layer, const SourceModel& source,
                                        const ResultFormat& format) {
  return format.container == Container::kGguf ? gguf_layer(layer, source, format)
                                              : folder_layer(layer, source, format);
}

void write_result(const SourceModel& source, const DecoderConfig& config, const Recipe& recipe,
                  const ResultFormat& format, const WorkFolder& work, const std::string& path) {
  if (format.container == Container::kGguf) {
    write_gguf(source, config, format.block, work, path);
  } else {
    write_folder(source, config, recipe, format, work, path);
  }
}

DType gguf_type_of(const QuantSpec& spec) {
  if (spec.group_size == 32 && spec.bits == 4) return spec.symmetric ? DType::kQ4_0 : DType::kQ4_1;
  if (spec.group_size == 32 && spec.bits == 8 && spec.symmetric) return DType::kQ8_0;
  fail(ErrorCode::kInvalidArgument,
       "--export gguf: its block types hold 4 bits (symmetric or not) or symmetric 8 bits in groups of 32, "
       "not {} bits in "
       "groups of {}; give --w-bits 4 --w-group-size 32",
       spec.bits, spec.group_size);
}

}  // namespace turgo
