#include "compress/source_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "kernels/common/quant_blocks.h"
#include "models/architecture.h"

namespace turgo {
namespace {

using enum WeightRole;

int64_t width(const RawTensor& t) {
  return t.shape.rank == 2 ? t.shape[1] : 1;
}

std::string layer_name(int layer, const char* name) {
  return fmt::format("model.layers.{}.{}", layer, name);
}

// GGUF's llama keeps the two halves of a rope pair as neighbours: row 2i of a head is Hugging Face's i, row
// 2i + 1 its i + head_dim / 2. `width` floats per row; 1 for a bias.
void to_half_split(std::vector<float>& rows, int64_t heads, int64_t head_dim, int64_t width) {
  std::vector<float> head(static_cast<size_t>(head_dim * width));
  for (int64_t h = 0; h < heads; ++h) {
    float* at = rows.data() + h * head_dim * width;
    for (int64_t i = 0; i < head_dim; ++i) {
      const int64_t to = i / 2 + i % 2 * (head_dim / 2);
      std::copy_n(at + i * width, width, head.data() + to * width);
    }
    std::copy(head.begin(), head.end(), at);
  }
}

template <class Layer, class Matrix>
std::vector<Matrix*> existing(Layer& layer) {
  std::vector<Matrix*> all;
  for (Matrix* m : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down})
    if (*m) all.push_back(m);
  return all;
}

}  // namespace

std::vector<LinearMatrix*> SourceLayer::linears() {
  return existing<SourceLayer, LinearMatrix>(*this);
}

std::vector<const LinearMatrix*> SourceLayer::linears() const {
  return existing<const SourceLayer, const LinearMatrix>(*this);
}

void read_rows(const RawTensor& t, int64_t begin, int64_t count, float* out) {
  const int64_t k = width(t), bytes = row_bytes(t.dtype, k);
  const auto order = t.reader ? t.reader->column_order() : std::span<const int32_t>{};
  std::vector<std::byte> made(t.reader ? static_cast<size_t>(bytes) : 0);
  std::vector<float> ordered(order.size());
  for (int64_t r = 0; r < count; ++r) {
    float* row = out + r * k;
    if (t.reader) t.reader->read(begin + r, 1, made.data());
    dequantize_row(t.dtype, t.reader ? made.data() : t.bytes.data() + (begin + r) * bytes,
                   order.empty() ? row : ordered.data(), k);
    for (size_t j = 0; j < order.size(); ++j) row[order[j]] = ordered[j];
    for (int64_t j = 0; j < k; ++j)
      if (!std::isfinite(row[j]))
        fail(ErrorCode::kCorrupt, "tensor {}: expected finite numbers, element {} is {}; the file is damaged",
             quote(t.name, 100), (begin + r) * k + j, row[j]);
  }
}

SourceModel::SourceModel(const std::string& path, bool allow_requantize) : file_(open_model(path)) {
  if (!file_->quantization().empty() && !allow_requantize)
    fail(ErrorCode::kUnsupported,
         "{}: its weights are quantised by {} already; compress the original, or say --allow-requantize to "
         "count on these weights as if they were it",
         quote(path, 200), file_->quantization());
  HyperParams params(*file_);
  const Architecture& architecture = find_architecture(params);
  config_ = architecture.read_config(params);
  WeightMap map = architecture.weight_map(params, config_);
  auto specs = expand(map, config_, *file_);
  check_tensors(map, config_, specs, *file_);
  for (const TensorSpec& spec : specs) tensors_[{spec.role, spec.layer, spec.bias}] = &file_->get(spec.name);
  for (RopeConfig& rope : config_.ropes) {
    unpermute_ = unpermute_ || rope.interleaved;
    rope.interleaved = false;
  }
}

std::string SourceModel::quantized_type() const {
  std::map<DType, size_t> bytes;
  for (const RawTensor& t : file_->tensors())
    if (t.shape.rank == 2) bytes[t.dtype] += t.bytes.size();
  auto most = std::ranges::max_element(bytes, {}, [](const auto& entry) { return entry.second; });
  return most != bytes.end() && is_quantized(most->first) ? dtype_info(most->first).name : "";
}

const RawTensor* SourceModel::find(WeightRole role, int layer, bool bias) const {
  auto it = tensors_.find({role, layer, bias});
  return it == tensors_.end() ? nullptr : it->second;
}

std::vector<float> SourceModel::vector(WeightRole role, int layer) const {
  const RawTensor* t = find(role, layer);
  if (!t) return {};
  std::vector<float> out(static_cast<size_t>(t->shape[0]));
  read_rows(*t, 0, t->shape[0], out.data());
  if (config_.norm_offset)
    for (float& x : out) x += 1;
  return out;
}

LinearMatrix SourceModel::linear(WeightRole role, int layer, const char* name) const {
  LinearMatrix m;
  const RawTensor* t = find(role, layer);
  if (!t) return m;
  m.name = layer_name(layer, name);
  m.n = t->shape[0];
  m.k = width(*t);
  m.weight.resize(static_cast<size_t>(m.n * m.k));
  read_rows(*t, 0, m.n, m.weight.data());
  if (const RawTensor* bias = find(role, layer, true)) {
    m.bias.resize(static_cast<size_t>(m.n));
    read_rows(*bias, 0, m.n, m.bias.data());
  }
  t->file->drop(t->bytes.data(), t->bytes.size());
  return m;
}

// InternLM2's wqkv: rows [num_kv_heads][group + 2][head_dim], the last two of a group are k and v.
void SourceModel::split_grouped(SourceLayer& layer) const {
  LinearMatrix grouped = linear(kGroupedQkv, layer.index, "");
  if (!grouped) return;
  const int64_t dim = layer.config.head_dim, group = layer.config.num_heads / layer.config.num_kv_heads;
  const char* names[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"};
  LinearMatrix* parts[] = {&layer.q, &layer.k, &layer.v};
  for (int p = 0; p < 3; ++p) {
    const int64_t offset = p == 0 ? 0 : group + p - 1, heads = p == 0 ? group : 1;
    LinearMatrix& m = *parts[p];
    m.name = layer_name(layer.index, names[p]);
    m.k = grouped.k;
    m.n = layer.config.num_kv_heads * heads * dim;
    for (int64_t kv = 0; kv < layer.config.num_kv_heads; ++kv) {
      const int64_t first = (kv * (group + 2) + offset) * dim;
      auto begin = grouped.weight.begin() + first * m.k;
      m.weight.insert(m.weight.end(), begin, begin + heads * dim * m.k);
      if (!grouped.bias.empty())
        m.bias.insert(m.bias.end(), grouped.bias.begin() + first, grouped.bias.begin() + first + heads * dim);
    }
  }
}

SourceLayer SourceModel::load_layer(int index) const {
  SourceLayer l;
  l.index = index;
  l.config = config_.layers[static_cast<size_t>(index)];
  l.input_norm = vector(kInputNorm, index);
  l.post_attention_norm = vector(kPostAttentionNorm, index);
  l.pre_mlp_norm = vector(kPreMlpNorm, index);
  l.post_mlp_norm = vector(kPostMlpNorm, index);
  l.q_norm = vector(kQNorm, index);
  l.k_norm = vector(kKNorm, index);
  l.q = linear(kQ, index, "self_attn.q_proj");
  l.k = linear(kK, index, "self_attn.k_proj");
  l.v = linear(kV, index, "self_attn.v_proj");
  split_grouped(l);
  l.o = linear(kO, index, "self_attn.o_proj");
  l.gate = linear(kGate, index, "mlp.gate_proj");
  l.up = linear(kUp, index, "mlp.up_proj");
  l.down = linear(kDown, index, "mlp.down_proj");
  if (unpermute_ && l.q) {
    const int64_t dim = l.config.head_dim;
    to_half_split(l.q.weight, l.config.num_heads, dim, l.q.k);
    to_half_split(l.k.weight, l.config.num_kv_heads, dim, l.k.k);
    if (!l.q.bias.empty()) to_half_split(l.q.bias, l.config.num_heads, dim, 1);
    if (!l.k.bias.empty()) to_half_split(l.k.bias, l.config.num_kv_heads, dim, 1);
  }
  return l;
}

std::vector<float> SourceModel::final_norm() const {
  return vector(kFinalNorm, -1);
}

const RawTensor& SourceModel::embed_tokens() const {
  return *find(kEmbedTokens, -1);
}

const RawTensor& SourceModel::lm_head() const {
  const RawTensor* head = find(kLmHead, -1);
  return head ? *head : embed_tokens();
}

void SourceModel::embed(const std::vector<int32_t>& ids, float* out) const {
  const RawTensor& table = embed_tokens();
  for (size_t i = 0; i < ids.size(); ++i) {
    float* row = out + static_cast<int64_t>(i) * config_.hidden_size;
    read_rows(table, ids[i], 1, row);
    if (config_.embedding_scale != 1)
      for (int64_t j = 0; j < config_.hidden_size; ++j) row[j] *= config_.embedding_scale;
  }
}

}  // namespace turgo
