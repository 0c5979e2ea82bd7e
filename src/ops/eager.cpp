// A verb is one team.run() of a few phases with barriers between them; norm, activation packing, GEMM and
// epilogue of a linear share it. Scratch belongs to the executor and grows to the largest step seen.
#include "ops/eager.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/reserved_memory.h"
#include "ops/embed_rows.h"

namespace turgo {
namespace {

// Queries per attention work item: large enough that K and V pages are read from cache, small enough to
// balance.
constexpr int32_t kQueryTile = 32;

// Rows whose slots in the cache are prefetched.
constexpr int64_t kFewRows = 16;

// Of weights, before a decode's linear: what the kernels prefetch ahead in the stream.
constexpr int64_t kPrefetchBytes = 8 << 10;

// Items per thread from which on they balance without a split over keys.
constexpr int kBalancedItems = 8;

// K's rows are [64 slots][4 bytes] in all types (kv_block.h): a token has a few bytes in each of many lines.
void prefetch_kv_slot(const KvGeometry& geometry, const std::byte* page, int64_t slot) {
  constexpr int64_t kRow = 4 * kKvBlockTokens;
  for (int64_t i = slot * 4; i < geometry.k_bytes(); i += kRow) __builtin_prefetch(page + i, 1);
}

// Memory that grows; content is not kept. Pages that are never written are never resident.
class Scratch {
 public:
  std::byte* get(int64_t size_bytes) {
    if (size_bytes > memory_.size()) {
      memory_ = ReservedMemory();
      memory_ = ReservedMemory(size_bytes);
      if (!memory_.data()) throw std::bad_alloc();
    }
    return memory_.data();
  }

 private:
  ReservedMemory memory_;
};

class EagerExecutor final : public Executor {
 public:
  EagerExecutor(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels, Precision precision,
                std::shared_ptr<Group> group)
      : team_(std::move(team)), kernels_(kernels), precision_(precision), group_(std::move(group)) {}

  std::shared_ptr<void> allocate(int64_t size_bytes) override {
    CHECK(size_bytes >= 0, "{} bytes", size_bytes);
    auto memory = std::make_shared<ReservedMemory>(size_bytes);
    if (!memory->data())
      fail(ErrorCode::kResourceExhausted,
           "cannot allocate {} bytes for activations; use a smaller batch or context", size_bytes);
    return {memory, memory->data()};
  }

  void embed(const EmbedArgs& a) override;
  void qkv(const QkvArgs& a) override;
  void attend(const AttendArgs& a) override;
  void project(const ProjectArgs& a) override;
  void gate_up(const GateUpArgs& a) override;
  void logits(const LogitsArgs& a) override;

  void rms_norm(TensorView x, NormWeight norm, TensorView y) override {
    int64_t rows = x.shape[0], n = x.shape[1];
    team_->run_active([&](int rank) {
      Range r = split_range(rows, team_->active(), rank);
      for (int64_t t = r.begin; t < r.end; ++t)
        kernels_.rms_norm(row(x, t), norm.weight, norm.eps, n, row(y, t));
    });
  }

  void linear(TensorView x, const LinearWeight& weight, TensorView y) override {
    Linear lin = prepare(x, {}, weight, x.shape[0]);
    team_->run_active([&](int rank) {
      pack_phase(lin, rank, nullptr);
      gemm_phase(lin, rank, y.as<float>(), y.stride(), false);
    });
  }

  void all_reduce(TensorView x) override {
    if (world() == 1) return;  // the sum is there already
    CHECK_EQ(x.stride(), x.shape[1]);
    group_->all_reduce(x.as<float>(), x.shape.numel());
  }
  void all_gather(TensorView local, TensorView full) override;

  void host_phase(int64_t n, std::function<void(int64_t)> f) override {
    std::atomic<int64_t> next{0};
    team_->run_active([&](int) {
      for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < n;) f(i);
    });
  }

  void synchronize() override {}

 private:
  // One linear under way: its input rows, and where the normed and packed forms go.
  struct Linear {
    TensorView x;
    NormWeight norm;
    const LinearWeight* weight;
    int64_t m, k;
    // One tile is packed by every thread for itself: that costs less than to wait for one of them.
    bool is_private;
    float* normed;            // [m][k], used when there is a norm, an input scale or a gather
    Precision precisions[2];  // distinct arithmetics that the segments need
    std::byte* packed[2];
    int64_t packed_bytes[2];
    int num_precisions;
  };

  static float* row(const TensorView& t, int64_t i) { return t.as<float>() + i * t.stride(); }
  int world() const { return group_ ? group_->size() : 1; }

  const PackedSegments& segments(const LinearWeight& w) const {
    const auto* packed = std::get_if<PackedSegments>(&w.data);
    CHECK(packed, "{}: the eager executor multiplies packed weights only", w.name);
    return *packed;
  }

  Linear prepare(const TensorView& x, NormWeight norm, const LinearWeight& weight, int64_t m);
  void pack_phase(const Linear& lin, int rank, const int32_t* gather);
  void prefetch_weights(const Linear& lin, int rank) const;
  static std::byte* packed_of(const Linear& lin, int i, int rank) {
    return lin.packed[i] + (lin.is_private ? rank * lin.packed_bytes[i] : 0);
  }
  void gemm_phase(const Linear& lin, int rank, float* y, int64_t y_stride, bool accumulate);
  void add_branch(const ProjectArgs& a, float* out, int rank);
  struct AttentionItem;
  AttentionArgs attention_args(const AttendArgs& a, const AttentionItem& item) const;
  std::vector<AttentionItem> split_keys(const AttendArgs& a, std::vector<AttentionItem>& items);
  static std::byte* kv_page(const QkvArgs& a, const SequenceRows& seq, int64_t index, int64_t head);
  void store_qkv_part(const QkvArgs& a, const SequenceRows& seq, int64_t i, int64_t part, float* qkv_row,
                      const float* cos_sin);
  template <class F>
  void for_qkv_parts(const QkvArgs& a, int rank, F&& f) const;

  std::shared_ptr<ThreadTeam> team_;
  const KernelTable& kernels_;
  Precision precision_;
  std::shared_ptr<Group> group_;
  Scratch normed_, packed_[2], output_, angles_, gathered_, partial_;
};

EagerExecutor::Linear EagerExecutor::prepare(const TensorView& x, NormWeight norm, const LinearWeight& weight,
                                             int64_t m) {
  CHECK_EQ(x.shape[1], weight.k);
  CHECK(weight.adapters.empty(), "{}: adapters are not built yet", weight.name);
  Linear lin{x, norm, &weight, m, weight.k, true, nullptr, {}, {}, {}, 0};
  for (const PackedWeight& s : segments(weight).segments) {
    Precision p = effective_precision(precision_, s.dtype);
    int i = 0;
    while (i < lin.num_precisions && lin.precisions[i] != p) ++i;
    if (i < lin.num_precisions) continue;
    lin.precisions[i] = p;
    lin.packed_bytes[i] = kernels_.activation_bytes(p, m, lin.k);
    lin.is_private &= m <= kernels_.activation_tile(p);
    ++lin.num_precisions;
  }
  int64_t copies = lin.is_private ? team_->size() : 1;
  lin.normed =
      reinterpret_cast<float*>(normed_.get(copies * m * lin.k * static_cast<int64_t>(sizeof(float))));
  for (int i = 0; i < lin.num_precisions; ++i) lin.packed[i] = packed_[i].get(copies * lin.packed_bytes[i]);
  return lin;
}

// Norm and pack, ends with a barrier where threads share the work. Threads own whole tiles, so no barrier
// stands between the two. Segments of two arithmetics (a float weight beside quantised ones) pack twice;
// their tiles differ, hence the barrier, and the case is rare.
void EagerExecutor::pack_phase(const Linear& lin, int rank, const int32_t* gather) {
  const float* scale = lin.weight->input_scale;
  bool copy = lin.norm || scale || gather;
  float* normed = lin.normed + (lin.is_private ? rank * lin.m * lin.k : 0);
  if (lin.is_private) prefetch_weights(lin, rank);
  for (int i = 0; i < lin.num_precisions; ++i) {
    if (i > 0 && !lin.is_private) team_->barrier();
    int64_t tile = kernels_.activation_tile(lin.precisions[i]);
    Range tiles =
        lin.is_private ? Range{0, 1} : split_range((lin.m + tile - 1) / tile, team_->active(), rank);
    if (tiles.begin == tiles.end) continue;
    for (int64_t t = tiles.begin * tile; copy && i == 0 && t < std::min(tiles.end * tile, lin.m); ++t) {
      const float* src = row(lin.x, gather ? gather[t] : t);
      float* dst = normed + t * lin.k;
      if (lin.norm) {
        kernels_.rms_norm(src, lin.norm.weight, lin.norm.eps, lin.k, dst);
      } else {
        std::memcpy(dst, src, lin.k * sizeof(float));
      }
      if (scale)
        for (int64_t j = 0; j < lin.k; ++j) dst[j] /= scale[j];
    }
    kernels_.pack_activations(lin.precisions[i], copy ? normed : lin.x.as<float>(),
                              copy ? lin.k : lin.x.stride(), lin.m, lin.k, tiles.begin, tiles.end,
                              packed_of(lin, i, rank));
  }
  if (!lin.is_private) team_->barrier();
}

// The first bytes of this thread's panels: the memory answers while the activations are packed.
void EagerExecutor::prefetch_weights(const Linear& lin, int rank) const {
  const auto& parts = segments(*lin.weight).segments;
  int64_t total = 0, panel = 0;
  for (const PackedWeight& s : parts) total += num_panels(s.n);
  Range mine = split_range(total, team_->active(), rank);
  for (const PackedWeight& s : parts) {
    int64_t first = mine.begin - panel, n = num_panels(s.n);
    panel += n;
    if (first >= n || mine.begin == mine.end) continue;
    int64_t bytes = packed_panel_bytes(s.dtype, s.k);
    const std::byte* data = s.data + first * bytes;
    for (int64_t i = 0; i < std::min(bytes, kPrefetchBytes); i += 64) __builtin_prefetch(data + i);
    return;
  }
}

// Threads own panels, counted over all segments, so that q, k and v of different types still balance.
void EagerExecutor::gemm_phase(const Linear& lin, int rank, float* y, int64_t y_stride, bool accumulate) {
  const auto& parts = segments(*lin.weight).segments;
  int64_t total = 0;
  for (const PackedWeight& s : parts) total += num_panels(s.n);
  Range mine = split_range(total, team_->active(), rank);
  int64_t panel = 0, column = 0;
  for (const PackedWeight& s : parts) {
    int64_t n = num_panels(s.n);
    int64_t begin = std::max(mine.begin - panel, int64_t{0}), end = std::min(mine.end - panel, n);
    if (begin < end) {
      Precision p = effective_precision(precision_, s.dtype);
      GemmArgs args;
      args.weight = s;
      args.precision = p;
      args.activations = packed_of(lin, lin.precisions[0] == p ? 0 : 1, rank);
      args.m = lin.m;
      args.panel_begin = begin;
      args.panel_end = end;
      args.y = y + column;
      args.y_stride = y_stride;
      args.bias = lin.weight->bias ? lin.weight->bias + column : nullptr;
      args.accumulate = accumulate;
      kernels_.gemm(args);
    }
    panel += n;
    column += s.n;
  }
}

void EagerExecutor::embed(const EmbedArgs& a) {
  int64_t rows = a.hidden.shape[0], n = a.hidden.shape[1];
  CHECK_EQ(n, a.table->k);
  int64_t next = 0;  // the place of a row's embedding is the number of given rows before it
  std::vector<int64_t> source(rows);
  for (int64_t t = 0; t < rows; ++t) source[t] = a.token_ids[t] < 0 ? next++ : -1;
  CHECK(next == 0 || (a.embeddings && a.embeddings.shape[0] >= next), "{} embedding rows wanted", next);
  team_->run_active([&](int rank) {
    Range r = split_range(rows, team_->active(), rank);
    for (int64_t t = r.begin; t < r.end; ++t) {
      float* dst = row(a.hidden, t);
      if (source[t] >= 0) {
        std::memcpy(dst, row(a.embeddings, source[t]), n * sizeof(float));
      } else {
        embed_row(*a.table, a.token_ids[t], dst);
        if (a.scale != 1) kernels_.scale(a.scale, n, dst);
      }
    }
  });
}

std::byte* EagerExecutor::kv_page(const QkvArgs& a, const SequenceRows& seq, int64_t index, int64_t head) {
  return a.kv.pool + seq.block_table[index / kKvBlockTokens] * a.kv.block_bytes + a.kv.layer_offset +
         head * a.kv.geometry.page_bytes();
}

// Part 0 of a row: q. Part 1 + h: K and V of head h.
void EagerExecutor::store_qkv_part(const QkvArgs& a, const SequenceRows& seq, int64_t i, int64_t part,
                                   float* qkv_row, const float* cos_sin) {
  int64_t t = seq.row_begin + i, d = a.head_dim, index = seq.first_index + i;
  auto finish = [&](float* head, const NormWeight& norm) {
    if (norm) kernels_.rms_norm(head, norm.weight, norm.eps, d, head);
    if (cos_sin) kernels_.rope(cos_sin, a.rope.rotary_dim, a.rope.interleaved, head);
  };
  if (part == 0) {
    float* q = row(a.q, t);
    std::memcpy(q, qkv_row, a.num_heads * d * sizeof(float));
    for (int h = 0; h < a.num_heads; ++h) finish(q + h * d, a.q_norm);
    return;
  }
  int64_t h = part - 1;
  float* k = qkv_row + (a.num_heads + h) * d;  // scratch of this verb: norm and rope in place
  finish(k, a.k_norm);
  kernels_.kv_store(a.kv.geometry, k, k + a.num_kv_heads * d, index % kKvBlockTokens,
                    kv_page(a, seq, index, h));
}

// Calls f(sequence, row of it, part) for this thread's share of the parts of all rows.
template <class F>
void EagerExecutor::for_qkv_parts(const QkvArgs& a, int rank, F&& f) const {
  int64_t parts = 1 + a.num_kv_heads;
  Range mine = split_range(a.hidden.shape[0] * parts, team_->active(), rank);
  for (const SequenceRows& seq : a.sequences) {
    int64_t begin = std::max<int64_t>(mine.begin - seq.row_begin * parts, 0);
    int64_t end = std::min<int64_t>(mine.end - seq.row_begin * parts, seq.num_rows * parts);
    for (int64_t u = begin; u < end; ++u) f(seq, u / parts, u % parts);
  }
}

void EagerExecutor::qkv(const QkvArgs& a) {
  int64_t m = a.hidden.shape[0], n = a.qkv->n;
  CHECK_EQ(n, int64_t{a.num_heads + 2 * a.num_kv_heads} * a.head_dim);
  Linear lin = prepare(a.hidden, a.norm, *a.qkv, m);
  float* out = reinterpret_cast<float*>(output_.get(m * n * static_cast<int64_t>(sizeof(float))));
  int64_t half = a.rope.rotary_dim / 2;
  bool mixed_axes = a.rope.cos_sin && a.rope.axis && a.num_axes > 1;
  float* mixed =
      mixed_axes ? reinterpret_cast<float*>(angles_.get(m * half * 2 * static_cast<int64_t>(sizeof(float))))
                 : nullptr;
  auto angles = [&](int64_t t) -> const float* {
    const int32_t* position = a.positions + t * a.num_axes;
    if (!a.rope.cos_sin) return nullptr;
    if (!mixed_axes) return a.rope.cos_sin + position[0] * half * 2;
    float* dst = mixed + t * half * 2;
    for (int64_t i = 0; i < half; ++i)
      std::memcpy(dst + 2 * i, a.rope.cos_sin + (position[a.rope.axis[i]] * half + i) * 2, 2 * sizeof(float));
    return dst;
  };
  team_->run_active([&](int rank) {
    // These lines come while the weights stream.
    if (m <= kFewRows)
      for_qkv_parts(a, rank, [&](const SequenceRows& seq, int64_t i, int64_t part) {
        int64_t index = seq.first_index + i;
        if (part > 0)
          prefetch_kv_slot(a.kv.geometry, kv_page(a, seq, index, part - 1), index % kKvBlockTokens);
      });
    pack_phase(lin, rank, nullptr);
    gemm_phase(lin, rank, out, n, false);
    team_->barrier();
    for_qkv_parts(a, rank, [&](const SequenceRows& seq, int64_t i, int64_t part) {
      float* qkv_row = out + (seq.row_begin + i) * n;
      int64_t begin = part == 0 ? 0 : (a.num_heads + part - 1) * a.head_dim;
      int64_t width = part == 0 ? int64_t{a.num_heads} * a.head_dim : a.head_dim;
      auto clip = [&](float* x) {
        for (int64_t j = 0; j < width; ++j) x[j] = std::clamp(x[j], -a.clip, a.clip);
      };
      if (a.clip > 0) clip(qkv_row + begin);
      if (a.clip > 0 && part > 0) clip(qkv_row + begin + a.num_kv_heads * a.head_dim);
      store_qkv_part(a, seq, i, part, qkv_row, angles(seq.row_begin + i));
    });
  });
}

// What a thread takes at once: queries of a sequence and a kv head, over all keys or over a run of segments.
struct EagerExecutor::AttentionItem {
  const SequenceRows* sequence;
  int32_t kv_head, begin, end;  // queries
  int32_t segment_begin = 0, segment_end = 0;
  float* partial = nullptr;  // of all segments; null: not split
  int64_t keys() const { return int64_t{sequence->first_index} + end; }
  int64_t cost() const {
    int64_t seen = keys();
    if (partial)
      seen = std::min<int64_t>(seen, segment_end * kAttentionSegment) - segment_begin * kAttentionSegment;
    return seen * (end - begin);
  }
};

AttentionArgs EagerExecutor::attention_args(const AttendArgs& a, const AttentionItem& item) const {
  const SequenceRows& seq = *item.sequence;
  int32_t group = a.num_heads / a.num_kv_heads;
  int64_t t = seq.row_begin + item.begin, head = int64_t{item.kv_head} * group;
  AttentionArgs args;
  args.kv = a.kv.geometry;
  args.pool = a.kv.pool;
  args.block_bytes = a.kv.block_bytes;
  args.page_offset = a.kv.layer_offset + item.kv_head * a.kv.geometry.page_bytes();
  args.block_table = seq.block_table;
  args.q = row(a.q, t) + head * a.head_dim;
  args.q_stride = a.q.stride();
  args.out = row(a.out, t) + head * a.head_dim;
  args.out_stride = a.out.stride();
  args.num_queries = item.end - item.begin;
  args.group = group;
  args.first_index = seq.first_index + item.begin;
  args.window = a.window;
  args.scale = a.scale;
  args.soft_cap = a.soft_cap;
  args.sinks = a.sinks ? a.sinks + head : nullptr;
  args.alibi_slopes = a.alibi_slopes ? a.alibi_slopes + head : nullptr;
  args.last_visible = seq.last_visible ? seq.last_visible + item.begin : nullptr;
  args.tree_mask = seq.tree_mask ? seq.tree_mask + item.begin : nullptr;
  args.partial = item.partial;
  args.num_segments = static_cast<int32_t>((item.keys() + kAttentionSegment - 1) / kAttentionSegment);
  args.segment_begin = item.segment_begin;
  args.segment_end = item.segment_end;
  return args;
}

// Replaces each item of a single query by one per segment of its keys; returns what has to be merged then.
std::vector<EagerExecutor::AttentionItem> EagerExecutor::split_keys(const AttendArgs& a,
                                                                    std::vector<AttentionItem>& items) {
  std::vector<AttentionItem> whole, merges;
  whole.swap(items);
  int64_t floats = 0;
  auto record_floats = attention_record_floats(a.kv.geometry) * (a.num_heads / a.num_kv_heads);
  for (AttentionItem item : whole) {
    int64_t oldest = a.window > 0 ? std::max<int64_t>(item.keys() - a.window, 0) : 0;
    item.segment_begin = static_cast<int32_t>(oldest / kAttentionSegment);
    item.segment_end = static_cast<int32_t>((item.keys() + kAttentionSegment - 1) / kAttentionSegment);
    bool splits = item.end - item.begin == 1 && item.segment_end - item.segment_begin > 1 &&
                  !item.sequence->last_visible;
    if (splits) floats += item.segment_end * record_floats;
    (splits ? merges : items).push_back(item);
  }
  float* partial = reinterpret_cast<float*>(partial_.get(floats * static_cast<int64_t>(sizeof(float))));
  for (AttentionItem& item : merges) {
    item.partial = partial;
    partial += item.segment_end * record_floats;
    for (int32_t s = item.segment_begin; s < item.segment_end; ++s) {
      items.push_back(item);
      items.back().segment_begin = s;
      items.back().segment_end = s + 1;
    }
  }
  return merges;
}

void EagerExecutor::attend(const AttendArgs& a) {
  std::vector<AttentionItem> items, merges;
  for (const SequenceRows& seq : a.sequences)
    for (int32_t h = 0; h < a.num_kv_heads; ++h)
      for (int32_t i = 0; i < seq.num_rows; i += kQueryTile)
        items.push_back({&seq, h, i, std::min(i + kQueryTile, seq.num_rows)});
  // Few items leave threads without work: three kv heads on two threads take as long as four.
  if (team_->size() > 1 && items.size() < static_cast<size_t>(kBalancedItems * team_->size()))
    merges = split_keys(a, items);
  // The longest first: causal items grow with their position.
  std::stable_sort(items.begin(), items.end(),
                   [](const auto& x, const auto& y) { return x.cost() > y.cost(); });
  std::atomic<size_t> next{0}, next_merge{0};
  team_->run_active([&](int) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items.size();)
      kernels_.attention(attention_args(a, items[i]));
    if (merges.empty()) return;
    team_->barrier();
    for (size_t i; (i = next_merge.fetch_add(1, std::memory_order_relaxed)) < merges.size();)
      kernels_.attention_merge(attention_args(a, merges[i]));
  });
}

// Ranks hold columns of `full` in rank order. A null `full` only takes part: this rank does not look at it.
void EagerExecutor::all_gather(TensorView local, TensorView full) {
  const int64_t rows = local.shape[0], n = local.shape[1];
  CHECK_EQ(rows, full.shape[0]);
  CHECK_EQ(n * world(), full.shape[1]);
  if (world() == 1) {
    for (int64_t t = 0; t < rows; ++t) std::memcpy(row(full, t), row(local, t), n * sizeof(float));
    return;
  }
  CHECK_EQ(local.stride(), n);
  auto* parts =
      reinterpret_cast<float*>(gathered_.get(rows * n * world() * static_cast<int64_t>(sizeof(float))));
  group_->all_gather(local.as<float>(), rows * n, parts);
  if (!full) return;
  for (int64_t t = 0; t < rows; ++t)
    for (int r = 0; r < world(); ++r)
      std::memcpy(row(full, t) + r * n, parts + (r * rows + t) * n, n * sizeof(float));
}

void EagerExecutor::project(const ProjectArgs& a) {
  int64_t m = a.x.shape[0], n = a.weight->n;
  Linear lin = prepare(a.x, {}, *a.weight, m);
  bool partial = world() > 1 && a.weight->shard.kind == Shard::kRow;
  bool direct = !a.post_norm && a.residual_scale == 1 && !partial;
  float* out =
      direct ? nullptr : reinterpret_cast<float*>(output_.get(m * n * static_cast<int64_t>(sizeof(float))));
  team_->run_active([&](int rank) {
    pack_phase(lin, rank, nullptr);
    if (direct) {
      gemm_phase(lin, rank, a.hidden.as<float>(), a.hidden.stride(), true);
      return;
    }
    gemm_phase(lin, rank, out, n, false);
    if (partial) return;
    team_->barrier();
    add_branch(a, out, rank);
  });
  if (!partial) return;
  group_->all_reduce(out, m * n);
  team_->run_active([&](int rank) { add_branch(a, out, rank); });
}

// This thread's rows of hidden += residual_scale * post_norm(out).
void EagerExecutor::add_branch(const ProjectArgs& a, float* out, int rank) {
  const int64_t n = a.weight->n;
  Range r = split_range(a.x.shape[0], team_->active(), rank);
  for (int64_t t = r.begin; t < r.end; ++t) {
    float* branch = out + t * n;
    if (a.post_norm) kernels_.rms_norm(branch, a.post_norm.weight, a.post_norm.eps, n, branch);
    if (a.residual_scale != 1) kernels_.scale(a.residual_scale, n, branch);
    kernels_.add(branch, n, row(a.hidden, t));
  }
}

void EagerExecutor::gate_up(const GateUpArgs& a) {
  int64_t m = a.hidden.shape[0], n = a.gate_up->n, width = a.out.shape[1];
  CHECK(n == 2 * width || n == width, "{}: {} rows for a width of {}", a.gate_up->name, n, width);
  Linear lin = prepare(a.hidden, a.norm, *a.gate_up, m);
  float* both = reinterpret_cast<float*>(output_.get(m * n * static_cast<int64_t>(sizeof(float))));
  // An MLP without a gate multiplies the activation by one.
  std::vector<float> ones(n == width ? width : 0, 1.0f);
  team_->run_active([&](int rank) {
    pack_phase(lin, rank, nullptr);
    gemm_phase(lin, rank, both, n, false);
    team_->barrier();
    // Split columns too: one token alone must keep the whole team busy. Runs start on multiples of 64 of a
    // row, so that an element meets the same vector or tail code whatever m is.
    int64_t runs_per_row = (width + 63) / 64;
    Range r = split_range(m * runs_per_row, team_->active(), rank);
    for (int64_t at = r.begin; at < r.end;) {
      int64_t t = at / runs_per_row, run = at % runs_per_row, end = std::min(runs_per_row, run + r.end - at);
      int64_t j = run * 64, len = std::min(end * 64, width) - j;
      const float* gate = both + t * n + j;
      kernels_.gated_activation(a.activation, gate, n == width ? ones.data() + j : gate + width, len,
                                row(a.out, t) + j);
      at += end - run;
    }
  });
}

void EagerExecutor::logits(const LogitsArgs& a) {
  auto m = static_cast<int64_t>(a.rows.size());
  if (m == 0) return;
  int64_t n = a.head->n;
  bool sharded = world() > 1 && a.head->shard.kind == Shard::kColumn;
  CHECK_EQ(sharded ? n * world() : n, a.logits.shape[1]);
  if (!sharded && !a.logits) return;
  Linear lin = prepare(a.hidden, a.norm, *a.head, m);
  TensorView out = a.logits;
  if (sharded) {
    void* local = output_.get(m * n * static_cast<int64_t>(sizeof(float)));
    out = f32_matrix(static_cast<float*>(local), m, n);
  }
  team_->run_active([&](int rank) {
    pack_phase(lin, rank, a.rows.data());
    gemm_phase(lin, rank, out.as<float>(), out.stride(), false);
    if (a.scale == 1 && a.soft_cap <= 0) return;
    team_->barrier();
    Range r = split_range(m, team_->active(), rank);
    for (int64_t t = r.begin; t < r.end; ++t) {
      if (a.scale != 1) kernels_.scale(a.scale, n, row(out, t));
      if (a.soft_cap > 0) kernels_.soft_cap(a.soft_cap, n, row(out, t));
    }
  });
  if (sharded) all_gather(out, a.logits);
}

}  // namespace

Precision effective_precision(Precision asked, DType weight) {
  return asked == Precision::kInt8 && !is_quantized(weight) ? Precision::kBF16 : asked;
}

std::shared_ptr<Executor> make_eager_executor(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels,
                                              Precision precision, std::shared_ptr<Group> group) {
  return std::make_shared<EagerExecutor>(std::move(team), kernels, precision, std::move(group));
}

}  // namespace turgo
