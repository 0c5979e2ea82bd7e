#include "models/decoder.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "models/rope.h"

namespace turgo {
namespace {

TensorView matrix(const std::shared_ptr<void>& buffer, int64_t rows, int64_t cols) {
  return f32_matrix(static_cast<float*>(buffer.get()), rows, cols);
}

TensorView first_rows(TensorView v, int64_t rows, int64_t cols) {
  v.shape = Shape{rows, cols};
  v.row_stride = 0;
  return v;
}

}  // namespace

std::vector<CacheSpec> make_cache_specs(const DecoderConfig& config, KvType type, int32_t session_len) {
  auto window_of = [&](const LayerConfig& layer) {
    bool slides = layer.attention == AttentionKind::kSliding && layer.sliding_window > 0;
    return slides && layer.sliding_window < session_len ? layer.sliding_window : 0;
  };
  bool keeps_all = std::any_of(config.layers.begin(), config.layers.end(), [&](const LayerConfig& layer) {
    return layer.attention != AttentionKind::kNone && window_of(layer) == 0;
  });
  std::vector<CacheSpec> specs(1);
  for (int l = 0; l < config.num_layers(); ++l) {
    const LayerConfig& layer = config.layers[l];
    if (layer.attention == AttentionKind::kNone) continue;
    int32_t window = keeps_all ? window_of(layer) : 0;
    auto spec = std::find_if(specs.begin(), specs.end(), [&](const auto& s) { return s.window == window; });
    if (spec == specs.end()) {
      specs.push_back({});
      spec = specs.end() - 1;
      spec->kind = CacheSpec::Kind::kWindow;
      spec->window = window;
    }
    KvGeometry geometry{type, layer.num_kv_heads, layer.head_dim};
    spec->layers.push_back(l);
    spec->geometry.push_back(geometry);
    spec->layer_offset.push_back(spec->block_bytes);
    spec->block_bytes += geometry.layer_bytes();
  }
  return specs;
}

Decoder::Decoder(DecoderConfig config, DecoderWeights weights, std::shared_ptr<Executor> executor,
                 KvType kv_type, int32_t session_len, int32_t max_rows)
    : config_(std::move(config)),
      weights_(std::move(weights)),
      executor_(std::move(executor)),
      cache_specs_(make_cache_specs(config_, kv_type, session_len)),
      cache_group_(config_.layers.size(), -1),
      cache_entry_(config_.layers.size(), -1),
      session_len_(session_len),
      max_rows_(max_rows) {
  CHECK_EQ(weights_.layers.size(), config_.layers.size());
  for (size_t g = 0; g < cache_specs_.size(); ++g)
    for (size_t i = 0; i < cache_specs_[g].layers.size(); ++i) {
      cache_group_[cache_specs_[g].layers[i]] = static_cast<int32_t>(g);
      cache_entry_[cache_specs_[g].layers[i]] = static_cast<int32_t>(i);
    }

  auto allocate = [&](int64_t floats) {
    buffers_.push_back(executor_->allocate(floats * static_cast<int64_t>(sizeof(float))));
    return buffers_.back();
  };
  for (const RopeConfig& rope : config_.ropes) {
    auto table = allocate(int64_t{session_len} * rope.rotary_dim);
    fill_rope_table(rope_frequencies(rope, session_len), session_len, static_cast<float*>(table.get()));
    RopeTable view{static_cast<float*>(table.get()), rope.rotary_dim, session_len, rope.interleaved, nullptr};
    if (!rope.mrope_section.empty()) {
      auto axes = executor_->allocate(rope.rotary_dim / 2);
      auto* axis = static_cast<uint8_t*>(axes.get());
      for (size_t a = 0; a < rope.mrope_section.size(); ++a)
        for (int32_t i = 0; i < rope.mrope_section[a]; ++i) *axis++ = static_cast<uint8_t>(a);
      view.axis = static_cast<uint8_t*>(axes.get());
      buffers_.push_back(axes);
    }
    ropes_.push_back(view);
  }

  int64_t q_width = 0, mlp_width = 0;
  for (const LayerConfig& layer : config_.layers) {
    q_width = std::max(q_width, int64_t{layer.num_heads} * layer.head_dim);
    mlp_width = std::max(mlp_width, int64_t{layer.intermediate_size});
  }
  hidden_ = matrix(allocate(int64_t{max_rows} * config_.hidden_size), max_rows, config_.hidden_size);
  q_ = matrix(allocate(max_rows * q_width), max_rows, q_width);
  attention_ = matrix(allocate(max_rows * q_width), max_rows, q_width);
  mlp_ = matrix(allocate(max_rows * mlp_width), max_rows, mlp_width);
}

void Decoder::embed(const StepInput& in, TensorView hidden) {
  EmbedArgs args;
  args.table = &weights_.embed_tokens;
  args.token_ids = in.token_ids;
  args.embeddings = in.embeddings;
  args.scale = config_.embedding_scale;
  args.hidden = hidden;
  executor_->embed(args);
}

void Decoder::attention_block(int l, const StepInput& in, TensorView hidden) {
  const LayerConfig& layer = config_.layers[l];
  const LayerWeights& w = weights_.layers[l];
  int32_t group = cache_group_[l], entry = cache_entry_[l];
  const CacheSpec& spec = cache_specs_[group];
  KvLayerView kv{in.pools[group], spec.block_bytes, spec.layer_offset[entry], spec.geometry[entry]};
  int64_t width = int64_t{layer.num_heads} * layer.head_dim;

  QkvArgs qkv;
  qkv.hidden = hidden;
  qkv.norm = w.input_norm;
  qkv.qkv = &w.qkv;
  qkv.q_norm = w.q_norm;
  qkv.k_norm = w.k_norm;
  if (layer.rope >= 0) qkv.rope = ropes_[layer.rope];
  qkv.positions = in.positions;
  qkv.num_axes = in.num_axes;
  qkv.num_heads = layer.num_heads;
  qkv.num_kv_heads = layer.num_kv_heads;
  qkv.head_dim = layer.head_dim;
  qkv.sequences = in.sequences[group];
  qkv.kv = kv;
  qkv.q = first_rows(q_, in.num_rows, width);
  executor_->qkv(qkv);

  AttendArgs attend;
  attend.q = qkv.q;
  attend.num_heads = layer.num_heads;
  attend.num_kv_heads = layer.num_kv_heads;
  attend.head_dim = layer.head_dim;
  attend.scale = config_.attention_scale > 0 ? config_.attention_scale
                                             : 1.0f / std::sqrt(static_cast<float>(layer.head_dim));
  attend.soft_cap = config_.attention_soft_cap;
  attend.window = layer.attention == AttentionKind::kSliding ? layer.sliding_window : 0;
  attend.sinks = w.sinks;
  attend.sequences = in.sequences[group];
  attend.kv = kv;
  attend.out = first_rows(attention_, in.num_rows, width);
  executor_->attend(attend);

  executor_->project({attend.out, &w.o_proj, w.post_attention_norm, config_.residual_scale, hidden});
}

void Decoder::mlp_block(int l, const StepInput& in, TensorView hidden) {
  const LayerWeights& w = weights_.layers[l];
  GateUpArgs gate_up;
  gate_up.hidden = hidden;
  gate_up.norm = w.pre_mlp_norm;
  gate_up.gate_up = &w.gate_up;
  gate_up.activation = config_.activation;
  gate_up.out = first_rows(mlp_, in.num_rows, config_.layers[l].intermediate_size);
  executor_->gate_up(gate_up);
  executor_->project({gate_up.out, &w.down_proj, w.post_mlp_norm, config_.residual_scale, hidden});
}

void Decoder::forward_layers(int begin, int end, const StepInput& in, TensorView hidden) {
  CHECK(in.num_rows <= max_rows_, "{} rows, workspace for {}", in.num_rows, max_rows_);
  for (int l = begin; l < end; ++l) {
    if (config_.layers[l].attention != AttentionKind::kNone) attention_block(l, in, hidden);
    if (config_.layers[l].mlp != MlpKind::kNone) mlp_block(l, in, hidden);
  }
}

void Decoder::logits(const StepInput& in, TensorView hidden, TensorView logits) {
  LogitsArgs args;
  args.hidden = hidden;
  args.rows = in.logits_rows;
  args.norm = weights_.final_norm;
  args.head = &weights_.lm_head;
  args.scale = config_.logits_scale;
  args.soft_cap = config_.logits_soft_cap;
  args.logits = logits;
  executor_->logits(args);
}

void Decoder::final_hidden(int64_t begin, TensorView out) {
  TensorView rows = first_rows(hidden_, out.shape[0], config_.hidden_size);
  rows.data = static_cast<float*>(hidden_.data) + begin * config_.hidden_size;
  executor_->rms_norm(rows, weights_.final_norm, out);
}

// The rows behind the layered ones as a step of their own.
StepInput Decoder::without_layered(const StepInput& in) {
  StepInput rest = in;
  int32_t skipped = in.layered.num_rows;
  rest.layered = {};
  rest.num_rows -= skipped;
  rest.token_ids += skipped;
  rest.embeddings = {};
  rest.positions += int64_t{skipped} * in.num_axes;
  others_.resize(in.sequences.size());
  for (size_t g = 0; g < others_.size(); ++g) {
    others_[g].clear();
    for (SequenceRows rows : in.sequences[g]) {
      rows.row_begin -= skipped;
      if (rows.row_begin >= 0) others_[g].push_back(rows);
    }
  }
  rest.sequences = others_;
  return rest;
}

void Decoder::forward(const StepInput& in, TensorView logits_out) {
  TensorView hidden = first_rows(hidden_, in.num_rows, config_.hidden_size);
  const StepInput::LayeredRows layered = in.layered;
  const int num_layers = config_.num_layers();
  if (layered.num_rows == 0) {
    embed(in, hidden);
    forward_layers(0, num_layers, in, hidden);
  } else {
    CHECK(layered.begin == 0 || (layered.num_rows == waiting_.num_rows && layered.begin == waiting_.end),
          "{} rows from layer {}, {} wait at {}", layered.num_rows, layered.begin, waiting_.num_rows,
          waiting_.end);
    StepInput rest = without_layered(in);
    TensorView rest_hidden = first_rows(hidden_, rest.num_rows, config_.hidden_size);
    rest_hidden.data = static_cast<float*>(hidden_.data) + int64_t{layered.num_rows} * config_.hidden_size;
    auto alone = [&](int begin, int end) {
      if (rest.num_rows > 0) forward_layers(begin, end, rest, rest_hidden);
    };
    if (layered.begin == 0)
      embed(in, hidden);
    else if (rest.num_rows > 0)
      embed(rest, rest_hidden);
    alone(0, layered.begin);
    forward_layers(layered.begin, layered.end, in, hidden);
    alone(layered.end, num_layers);
  }
  waiting_ = layered;
  if (!in.logits_rows.empty()) logits(in, hidden, logits_out);
}

}  // namespace turgo
