// Random tiny decoders for tests and benchmarks: deterministic weights of any dtype, no file. Not used by the
// product.
#pragma once

#include <random>

#include "core/error.h"
#include "models/decoder.h"

namespace turgo {

class TinyModel {
 public:
  explicit TinyModel(uint32_t seed = 1) : rng_(seed) {}

  // A Llama of `layers` layers; heads of 16, GQA 2, f32 weights.
  static DecoderConfig llama_config(int num_layers = 2, int hidden_size = 64, int vocab_size = 96) {
    DecoderConfig c;
    c.architecture = "llama";
    c.hidden_size = hidden_size;
    c.vocab_size = vocab_size;
    c.max_position = 512;
    LayerConfig layer;
    layer.num_heads = 4;
    layer.num_kv_heads = 2;
    layer.head_dim = 16;
    layer.intermediate_size = 96;
    c.layers.assign(num_layers, layer);
    RopeConfig rope;
    rope.rotary_dim = 16;
    c.ropes = {rope};
    return c;
  }

  DecoderWeights weights(const DecoderConfig& c) {
    DecoderWeights w;
    w.embed_tokens = linear(c.vocab_size, c.hidden_size, "embed_tokens", 1.0f);
    w.lm_head = linear(c.vocab_size, c.hidden_size, "lm_head");
    w.final_norm = norm(c.hidden_size, c.norm_eps);
    for (size_t l = 0; l < c.layers.size(); ++l) {
      const LayerConfig& layer = c.layers[l];
      std::string prefix = "layers." + std::to_string(l) + ".";
      LayerWeights lw;
      int64_t q = int64_t{layer.num_heads} * layer.head_dim,
              kv = int64_t{layer.num_kv_heads} * layer.head_dim;
      lw.input_norm = norm(c.hidden_size, c.norm_eps);
      lw.pre_mlp_norm = norm(c.hidden_size, c.norm_eps);
      lw.qkv = linear(q + 2 * kv, c.hidden_size, prefix + "qkv");
      lw.o_proj = linear(c.hidden_size, q, prefix + "o_proj");
      lw.gate_up = linear(2 * layer.intermediate_size, c.hidden_size, prefix + "gate_up");
      lw.down_proj = linear(c.hidden_size, layer.intermediate_size, prefix + "down_proj");
      w.layers.push_back(lw);
    }
    w.owners = owners_;
    return w;
  }

  LinearWeight linear(int64_t n, int64_t k, std::string name, float gain = 0) {
    std::normal_distribution<float> normal(0, gain > 0 ? gain : 1.0f / std::sqrt(static_cast<float>(k)));
    std::vector<float> rows(n * k);
    for (float& x : rows) x = normal(rng_);
    LinearWeight w;
    w.n = n;
    w.k = k;
    w.name = std::move(name);
    int64_t size = packed_bytes(DType::kF32, n, k);
    std::shared_ptr<void> data(std::aligned_alloc(kPackedAlign, (size + 63) / 64 * 64), std::free);
    pack_weight(DType::kF32, rows.data(), k * 4, n, k, 0, num_panels(n), static_cast<std::byte*>(data.get()));
    w.data = PackedSegments{{{DType::kF32, n, k, static_cast<const std::byte*>(data.get())}}, data};
    return w;
  }

  NormWeight norm(int64_t n, float eps) {
    auto values = std::make_shared<std::vector<float>>(n);
    std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
    for (float& x : *values) x = uniform(rng_);
    owners_.push_back(values);
    return {values->data(), eps};
  }

 private:
  std::mt19937 rng_;
  std::vector<std::shared_ptr<const void>> owners_;
};

// One sequence with its own KV pool, blocks in reverse order so that tables matter. Feeds a Decoder in any
// chunking.
class TestSequence {
 public:
  TestSequence(Decoder& decoder, int32_t max_tokens) : decoder_(decoder) {
    int32_t num_blocks = (max_tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    for (int32_t b = num_blocks; b-- > 0;) blocks_.push_back(b);
    for (const CacheSpec& spec : decoder.cache_specs()) {
      memory_.push_back(decoder.executor().allocate(spec.block_bytes * num_blocks));
      pools_.push_back(static_cast<std::byte*>(memory_.back().get()));
    }
  }

  int32_t num_tokens() const { return num_tokens_; }

  // Logits of every given token, row by row [ids.size() * vocab_size]. `embeddings`: rows for ids < 0.
  std::vector<float> feed(const std::vector<int32_t>& ids, TensorView embeddings = {}) {
    auto n = static_cast<int32_t>(ids.size());
    std::vector<int32_t> positions(n), rows(n);
    for (int32_t i = 0; i < n; ++i) {
      positions[i] = num_tokens_ + i;
      rows[i] = i;
    }
    SequenceRows seq;
    seq.num_rows = n;
    seq.first_index = num_tokens_;
    seq.block_table = blocks_.data();
    std::vector<std::vector<SequenceRows>> sequences(pools_.size(), {seq});
    StepInput in;
    in.num_rows = n;
    in.token_ids = ids.data();
    in.embeddings = embeddings;
    in.positions = positions.data();
    in.sequences = sequences;
    in.pools = pools_;
    in.logits_rows = rows;
    std::vector<float> logits(static_cast<size_t>(n) * decoder_.config().vocab_size);
    decoder_.forward(in, f32_matrix(logits.data(), n, decoder_.config().vocab_size));
    decoder_.executor().synchronize();
    num_tokens_ += n;
    return logits;
  }

 private:
  Decoder& decoder_;
  int32_t num_tokens_ = 0;
  std::vector<int32_t> blocks_;
  std::vector<std::shared_ptr<void>> memory_;
  std::vector<std::byte*> pools_;
};

}  // namespace turgo
