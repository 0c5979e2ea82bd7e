// A KV cache of one sequence and one layer for tests and benchmarks, with its blocks in random order,
// unwritten bytes set to NaN patterns, and attention's slow twin: double precision over what load_kv_token()
// gives back.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "core/reserved_memory.h"
#include "kernels/cpu/kernel_table.h"

namespace turgo {

struct TestCache {
  KvGeometry geometry;
  std::vector<int32_t> block_table;
  int64_t block_bytes, page_offset;

  TestCache(KvType type, int head_dim, int tokens, unsigned seed, int num_kv_heads = 1)
      : geometry{type, num_kv_heads, head_dim}, page_offset(64) {
    const int blocks = (tokens + kKvBlockTokens - 1) / kKvBlockTokens;
    block_bytes = 64 + geometry.layer_bytes() + 128;
    const int64_t bytes = (blocks + 2) * block_bytes;
    storage_ = ReservedMemory(bytes);  // huge pages, as the engine's pool has them
    std::memset(storage_.data(), 0xff, static_cast<size_t>(bytes));
    block_table.resize(static_cast<size_t>(blocks) + 2);
    std::iota(block_table.begin(), block_table.end(), 0);
    std::shuffle(block_table.begin(), block_table.end(), std::mt19937(seed));
    block_table.resize(static_cast<size_t>(blocks));
  }

  std::byte* base() { return storage_.data(); }
  std::byte* page(int token, int kv_head = 0) {
    return storage_.data() + block_table[static_cast<size_t>(token / kKvBlockTokens)] * block_bytes +
           page_offset + kv_head * geometry.page_bytes();
  }
  void store(const KernelTable& table, int token, const float* k, const float* v, int kv_head = 0) {
    table.kv_store(geometry, k, v, token % kKvBlockTokens, page(token, kv_head));
  }
  // Where the keys and values are; everything else is the caller's to say.
  AttentionArgs args() {
    AttentionArgs a;
    a.kv = geometry;
    a.pool = base();
    a.block_bytes = block_bytes;
    a.page_offset = page_offset;
    a.block_table = block_table.data();
    return a;
  }

 private:
  ReservedMemory storage_;
};

inline std::vector<float> random_floats(size_t n, unsigned seed, float deviation = 1) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> x(n);
  for (float& v : x) v = normal(rng);
  return x;
}

// Does query i see the key at cache index `key`?
inline bool attention_sees(const AttentionArgs& a, int query, int key) {
  const int self = a.first_index + query;
  if (key > (a.last_visible ? a.last_visible[query] : self)) return false;
  if (a.window > 0 && key <= self - a.window) return false;
  if (a.tree_mask && key >= a.first_index) return (a.tree_mask[query] >> (key - a.first_index) & 1) != 0;
  return true;
}

inline void slow_attention(const AttentionArgs& a, TestCache& cache, std::vector<double>& out) {
  const int n = a.kv.head_dim, tokens = static_cast<int>(cache.block_table.size()) * kKvBlockTokens;
  const auto row = [n](std::vector<float>& rows, int t) { return rows.data() + int64_t{t} * n; };
  std::vector<float> k(static_cast<size_t>(tokens * n)), v(k.size());
  for (int t = 0; t < tokens; ++t) {
    load_kv_token(a.kv, cache.page(t), t % kKvBlockTokens, row(k, t), row(v, t));
  }
  out.assign(static_cast<size_t>(a.num_queries * a.group * n), 0);
  std::vector<double> scores(static_cast<size_t>(tokens));
  for (int i = 0; i < a.num_queries; ++i) {
    for (int h = 0; h < a.group; ++h) {
      const float* q = a.q + i * a.q_stride + h * n;
      double* o = out.data() + (i * a.group + h) * n;
      double highest = a.sinks ? a.sinks[h] : -INFINITY;
      for (int t = 0; t < tokens; ++t) {
        double& s = scores[static_cast<size_t>(t)] = -INFINITY;
        if (!attention_sees(a, i, t)) continue;
        s = 0;
        for (int d = 0; d < n; ++d) s += double{q[d]} * double{row(k, t)[d]};
        s *= double{a.scale};
        if (a.soft_cap > 0) s = double{a.soft_cap} * std::tanh(s / double{a.soft_cap});
        if (a.alibi_slopes) s += double{a.alibi_slopes[h]} * (t - a.first_index - i);
        highest = std::max(highest, s);
      }
      double sum = a.sinks ? std::exp(double{a.sinks[h]} - highest) : 0;
      for (int t = 0; t < tokens; ++t) {
        if (!attention_sees(a, i, t)) continue;
        const double p = std::exp(scores[static_cast<size_t>(t)] - highest);
        sum += p;
        for (int d = 0; d < n; ++d) o[d] += p * double{row(v, t)[d]};
      }
      for (int d = 0; d < n; ++d) o[d] /= sum;
    }
  }
}

}  // namespace turgo
