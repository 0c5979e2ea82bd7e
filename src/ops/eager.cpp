// A verb is one team.run() of a few phases with barriers between them; norm, activation packing, GEMM and
// epilogue of a linear share it. Scratch belongs to the executor and grows to the largest step seen.
#include "ops/eager.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/reserved_memory.h"
#include "ops/attention_items.h"
#include "ops/embed_rows.h"
#include "ops/scratch.h"

namespace turgo {
namespace {

// Rows of one sequence: more share the lines of K's slots.
constexpr int64_t kFewRows = 4;

// Share::kRows: of a block, so that its products stay in L2 (576 KB of 3,072 columns) and tiles of 6 and 12
// are whole; from 4 m^2 rows on with m threads; not for heads, whose weights do not stay in L3.
constexpr int64_t kRowBlock = 96, kRowsPerThread = 4, kMostColumns = 32768;

constexpr auto kNothing = [](const auto&) {};

// Of weights, before a decode's linear: what the kernels prefetch ahead in the stream.
constexpr int64_t kPrefetchBytes = 8 << 10;

// K's rows are [64 slots][4 bytes] in all types (kv_block.h): a token has a few bytes in each of many lines.
void prefetch_kv_slot(const KvGeometry& geometry, const std::byte* page, int64_t slot) {
  constexpr int64_t kRow = 4 * kKvBlockTokens;
  for (int64_t i = slot * 4, end = geometry.k_bytes(); i < end; i += kRow) __builtin_prefetch(page + i, 1);
}

class EagerExecutor final : public Executor {
 public:
  EagerExecutor(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels, Precision precision,
                std::shared_ptr<Group> group)
      : team_(std::move(team)),
        kernels_(kernels),
        precision_(precision),
        group_(std::move(group)),
        queues_(static_cast<size_t>(team_->size())) {}

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
    run_linear(lin, {y.as<float>(), y.stride()}, kNothing, 0, kNothing);
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
  // How threads share a linear.
  enum class Share : uint8_t {
    kPanels,  // all pack their tiles, then each multiplies all rows with its panels and those that others
              // have not begun
    kTile,    // as kPanels, but each packs the only tile for itself: cheaper than to wait for one of them
    kRows     // each takes its rows through all panels, in blocks that stay in its L2, and waits for nobody
  };

  // One linear under way: its input rows, and where the normed and packed forms go.
  struct Linear {
    TensorView x;
    NormWeight norm;
    const LinearWeight* weight;
    int64_t m, k;
    Share share;
    int64_t copy_rows;        // rows of a thread's own copy; all rows where there is one for all
    float* normed;            // [copy][copy_rows][k], used when there is a norm, an input scale or a gather
    float* unordered;         // [thread][k], where the weight has an input order
    Precision precisions[2];  // distinct arithmetics that the segments need
    std::byte* packed[2];
    int64_t packed_bytes[2];  // of a copy
    int num_precisions;
  };
  struct LinearOutput {
    float* data;
    int64_t stride;
    bool accumulate = false;
    bool is_scratch = false;          // kRows: a block of rows per thread is enough
    const int32_t* gather = nullptr;  // input rows, or null: all
  };
  // Panels of a thread that nobody has begun.
  struct alignas(64) PanelQueue {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };
  // What comes behind the products: parts [begin, end) of all rows, `units` parts a row.
  struct FinishedRows {
    float* data;  // of first_row
    int64_t first_row;
    Range parts;
  };

  static float* row(const TensorView& t, int64_t i) { return t.as<float>() + i * t.stride(); }
  int world() const { return group_ ? group_->size() : 1; }

  const PackedSegments& segments(const LinearWeight& w) const {
    const auto* packed = std::get_if<PackedSegments>(&w.data);
    CHECK(packed, "{}: the eager executor multiplies packed weights only", w.name);
    return *packed;
  }

  Linear prepare(const TensorView& x, NormWeight norm, const LinearWeight& weight, int64_t m);
  float* linear_scratch(const Linear& lin);
  template <class Before, class Finish>
  void run_linear(const Linear& lin, const LinearOutput& y, Before&& before, int64_t units, Finish&& finish);
  void pack(const Linear& lin, const int32_t* gather, Range rows, int rank, int64_t copy);
  void multiply(const Linear& lin, Range panels, int64_t rows, int64_t copy, const LinearOutput& y);
  void multiply_queued(const Linear& lin, int rank, int64_t copy, const LinearOutput& y);
  void prefetch_weights(const Linear& lin, Range panels) const;
  int64_t count_panels(const LinearWeight& weight) const;
  void add_branch(const ProjectArgs& a, const FinishedRows& rows);
  static std::byte* kv_page(const QkvArgs& a, const SequenceRows& seq, int64_t index, int64_t head);
  void store_qkv_part(const QkvArgs& a, const SequenceRows& seq, int64_t i, int64_t part, float* qkv_row,
                      const float* cos_sin);
  template <class F>
  static void for_qkv_parts(const QkvArgs& a, Range mine, F&& f);

  std::shared_ptr<ThreadTeam> team_;
  const KernelTable& kernels_;
  Precision precision_;
  std::shared_ptr<Group> group_;
  std::vector<PanelQueue> queues_;  // by rank
  Scratch normed_, unordered_, packed_[2], output_, angles_, gathered_, partial_;
};

EagerExecutor::Linear EagerExecutor::prepare(const TensorView& x, NormWeight norm, const LinearWeight& weight,
                                             int64_t m) {
  CHECK_EQ(x.shape[1], weight.k);
  CHECK(weight.adapters.empty(), "{}: adapters are not built yet", weight.name);
  Linear lin{x, norm, &weight, m, weight.k, Share::kTile, m, nullptr, nullptr, {}, {}, {}, 0};
  for (const PackedWeight& s : segments(weight).segments) {
    Precision p = effective_precision(precision_, s.dtype);
    int i = 0;
    while (i < lin.num_precisions && lin.precisions[i] != p) ++i;
    if (i < lin.num_precisions) continue;
    lin.precisions[i] = p;
    if (m > kernels_.activation_tile(p)) lin.share = Share::kPanels;
    ++lin.num_precisions;
  }
  // Every thread then reads all weights: with few threads and some rows for each, arithmetic takes longer.
  const int64_t size = team_->size();
  if (m >= kRowsPerThread * size * size && weight.n <= kMostColumns) lin.share = Share::kRows;
  if (lin.share == Share::kRows) lin.copy_rows = std::min(m, kRowBlock);
  int64_t copies = lin.share == Share::kPanels ? 1 : size;
  lin.normed = reinterpret_cast<float*>(
      normed_.get(copies * lin.copy_rows * lin.k * static_cast<int64_t>(sizeof(float))));
  if (weight.input_order)
    lin.unordered =
        reinterpret_cast<float*>(unordered_.get(size * lin.k * static_cast<int64_t>(sizeof(float))));
  for (int i = 0; i < lin.num_precisions; ++i) {
    lin.packed_bytes[i] = kernels_.activation_bytes(lin.precisions[i], lin.copy_rows, lin.k);
    lin.packed[i] = packed_[i].get(copies * lin.packed_bytes[i]);
  }
  return lin;
}

// Room for the products of a linear: all of them, or a block of rows per thread.
float* EagerExecutor::linear_scratch(const Linear& lin) {
  int64_t rows = lin.share == Share::kRows ? lin.copy_rows * team_->size() : lin.m;
  return reinterpret_cast<float*>(output_.get(rows * lin.weight->n * static_cast<int64_t>(sizeof(float))));
}

// before(parts), y = W norm(x), finish(rows) for every part of every row: `units` a row, 0 for nothing to do.
template <class Before, class Finish>
void EagerExecutor::run_linear(const Linear& lin, const LinearOutput& y, Before&& before, int64_t units,
                               Finish&& finish) {
  const int64_t total = count_panels(*lin.weight);
  auto queue_panels = [&](int members) {
    for (int r = 0; lin.share != Share::kRows && r < members; ++r) {
      Range panels = split_range(total, members, r);
      queues_[r].next.store(panels.begin, std::memory_order_relaxed);
      queues_[r].end = panels.end;
    }
  };
  team_->run_active(queue_panels, [&](int rank) {
    if (lin.share != Share::kRows) {
      Range parts = split_range(lin.m * units, team_->active(), rank);
      before(parts);
      if (lin.share == Share::kTile) prefetch_weights(lin, split_range(total, team_->active(), rank));
      pack(lin, y.gather, {0, lin.m}, rank, lin.share == Share::kTile ? rank : 0);
      if (lin.share == Share::kPanels) team_->barrier();
      multiply_queued(lin, rank, lin.share == Share::kTile ? rank : 0, y);
      if (units == 0) return;
      team_->barrier();
      finish(FinishedRows{y.data, 0, parts});
      return;
    }
    Range mine = split_range(lin.m, team_->active(), rank);
    for (int64_t begin = mine.begin, end; begin < mine.end; begin = end) {
      end = std::min(begin + kRowBlock, mine.end);
      before(Range{begin * units, end * units});
      pack(lin, y.gather, {begin, end}, rank, rank);
      LinearOutput block = y;
      block.data += (y.is_scratch ? rank * lin.copy_rows : begin) * y.stride;
      multiply(lin, {0, total}, end - begin, rank, block);
      if (units > 0) finish(FinishedRows{block.data, begin, {begin * units, end * units}});
    }
  });
}

// Norms and packs rows of x as if they were all there are: into the thread's own copy, or (kPanels) this
// thread's tiles of the common one; a thread owns whole tiles, so no barrier stands between the two. Segments
// of two arithmetics (a float weight beside quantised ones) pack twice; their tiles differ, hence the
// barrier, and the case is rare.
void EagerExecutor::pack(const Linear& lin, const int32_t* gather, Range rows, int rank, int64_t copy) {
  const float* scale = lin.weight->input_scale;
  const int32_t* order = lin.weight->input_order;
  const bool copies = lin.norm || scale || order || gather;
  const int64_t m = rows.end - rows.begin;
  float* normed = lin.normed + copy * lin.copy_rows * lin.k;
  for (int i = 0; i < lin.num_precisions; ++i) {
    if (i > 0 && lin.share == Share::kPanels) team_->barrier();
    int64_t tile = kernels_.activation_tile(lin.precisions[i]), num_tiles = (m + tile - 1) / tile;
    Range tiles =
        lin.share == Share::kPanels ? split_range(num_tiles, team_->active(), rank) : Range{0, num_tiles};
    if (tiles.begin == tiles.end) continue;
    for (int64_t t = tiles.begin * tile; copies && i == 0 && t < std::min(tiles.end * tile, m); ++t) {
      const float* src = row(lin.x, gather ? gather[rows.begin + t] : rows.begin + t);
      float* packed_row = normed + t * lin.k;
      float* dst = order ? lin.unordered + rank * lin.k : packed_row;
      if (lin.norm) {
        kernels_.rms_norm(src, lin.norm.weight, lin.norm.eps, lin.k, dst);
      } else {
        std::memcpy(dst, src, lin.k * sizeof(float));
      }
      if (scale)
        for (int64_t j = 0; j < lin.k; ++j) dst[j] /= scale[j];
      if (order)
        for (int64_t j = 0; j < lin.k; ++j) packed_row[j] = dst[order[j]];
    }
    kernels_.pack_activations(lin.precisions[i], copies ? normed : row(lin.x, rows.begin),
                              copies ? lin.k : lin.x.stride(), m, lin.k, tiles.begin, tiles.end,
                              lin.packed[i] + copy * lin.packed_bytes[i]);
  }
}

int64_t EagerExecutor::count_panels(const LinearWeight& weight) const {
  int64_t total = 0;
  for (const PackedWeight& s : segments(weight).segments) total += num_panels(s.n);
  return total;
}

// The first bytes of a thread's panels: the memory answers while the activations are packed.
void EagerExecutor::prefetch_weights(const Linear& lin, Range panels) const {
  int64_t panel = 0;
  for (const PackedWeight& s : segments(*lin.weight).segments) {
    int64_t first = panels.begin - panel, n = num_panels(s.n);
    panel += n;
    if (first >= n || panels.begin == panels.end) continue;
    int64_t bytes = packed_panel_bytes(s.dtype, s.k);
    const std::byte* data = s.data + first * bytes;
    for (int64_t i = 0; i < std::min(bytes, kPrefetchBytes); i += 64) __builtin_prefetch(data + i);
    return;
  }
}

// Half of what is left of a queue at a time, the thread's own first: of a thread that is held up the others
// wait for half of its share at most.
void EagerExecutor::multiply_queued(const Linear& lin, int rank, int64_t copy, const LinearOutput& y) {
  const int members = team_->active();
  for (int i = 0; i < members; ++i) {
    PanelQueue& queue = queues_[(rank + i) % members];
    int64_t begin = queue.next.load(std::memory_order_relaxed);
    while (begin < queue.end) {
      const int64_t end = begin + (queue.end - begin + 1) / 2;
      if (!queue.next.compare_exchange_weak(begin, end, std::memory_order_relaxed)) continue;
      multiply(lin, {begin, end}, lin.m, copy, y);
      begin = queue.next.load(std::memory_order_relaxed);
    }
  }
}

// Panels are counted over all segments, so that q, k and v of different types still balance.
void EagerExecutor::multiply(const Linear& lin, Range panels, int64_t rows, int64_t copy,
                             const LinearOutput& y) {
  int64_t panel = 0, column = 0;
  for (const PackedWeight& s : segments(*lin.weight).segments) {
    int64_t n = num_panels(s.n);
    int64_t begin = std::max(panels.begin - panel, int64_t{0}), end = std::min(panels.end - panel, n);
    if (begin < end) {
      Precision p = effective_precision(precision_, s.dtype);
      int i = lin.precisions[0] == p ? 0 : 1;
      GemmArgs args;
      args.weight = s;
      args.precision = p;
      args.activations = lin.packed[i] + copy * lin.packed_bytes[i];
      args.m = rows;
      args.panel_begin = begin;
      args.panel_end = end;
      args.y = y.data + column;
      args.y_stride = y.stride;
      args.bias = lin.weight->bias ? lin.weight->bias + column : nullptr;
      args.accumulate = y.accumulate;
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

// Calls f(sequence, row of it, part) for some parts of all rows.
template <class F>
void EagerExecutor::for_qkv_parts(const QkvArgs& a, Range mine, F&& f) {
  int64_t parts = 1 + a.num_kv_heads;
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
  float* out = linear_scratch(lin);
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
  int64_t parts = 1 + a.num_kv_heads;
  auto slots_of = [&](Range mine) {  // these lines come while the weights stream
    for_qkv_parts(a, mine, [&](const SequenceRows& seq, int64_t i, int64_t part) {
      int64_t index = seq.first_index + i;
      if (part > 0 && seq.num_rows <= kFewRows)
        prefetch_kv_slot(a.kv.geometry, kv_page(a, seq, index, part - 1), index % kKvBlockTokens);
    });
  };
  run_linear(lin, {out, n, false, true}, slots_of, parts, [&](const FinishedRows& rows) {
    for_qkv_parts(a, rows.parts, [&](const SequenceRows& seq, int64_t i, int64_t part) {
      float* qkv_row = rows.data + (seq.row_begin + i - rows.first_row) * n;
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

void EagerExecutor::attend(const AttendArgs& a) {
  std::vector<AttentionItem> merges, items = attention_items(a, team_->size(), partial_, merges);
  std::atomic<size_t> next{0}, next_merge{0};
  team_->run_active([&](int) {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < items.size();) {
      // Short items end before memory answers: ask for the first page of one to come.
      size_t later = i + static_cast<size_t>(team_->active());
      if (later < items.size()) prefetch_first_page(attention_args(a, items[later]));
      kernels_.attention(attention_args(a, items[i]));
    }
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
  if (direct) return run_linear(lin, {a.hidden.as<float>(), a.hidden.stride(), true}, kNothing, 0, kNothing);
  if (!partial)
    return run_linear(lin, {linear_scratch(lin), n, false, true}, kNothing, 1,
                      [&](const FinishedRows& rows) { add_branch(a, rows); });
  float* out = reinterpret_cast<float*>(output_.get(m * n * static_cast<int64_t>(sizeof(float))));
  run_linear(lin, {out, n}, kNothing, 0, kNothing);
  group_->all_reduce(out, m * n);
  team_->run_active([&](int rank) { add_branch(a, {out, 0, split_range(m, team_->active(), rank)}); });
}

// hidden += residual_scale * post_norm(rows).
void EagerExecutor::add_branch(const ProjectArgs& a, const FinishedRows& rows) {
  const int64_t n = a.weight->n;
  for (int64_t t = rows.parts.begin; t < rows.parts.end; ++t) {
    float* branch = rows.data + (t - rows.first_row) * n;
    if (a.post_norm) kernels_.rms_norm(branch, a.post_norm.weight, a.post_norm.eps, n, branch);
    if (a.residual_scale != 1) kernels_.scale(a.residual_scale, n, branch);
    kernels_.add(branch, n, row(a.hidden, t));
  }
}

void EagerExecutor::gate_up(const GateUpArgs& a) {
  int64_t m = a.hidden.shape[0], n = a.gate_up->n, width = a.out.shape[1];
  CHECK(n == 2 * width || n == width, "{}: {} rows for a width of {}", a.gate_up->name, n, width);
  Linear lin = prepare(a.hidden, a.norm, *a.gate_up, m);
  // An MLP without a gate multiplies the activation by one.
  std::vector<float> ones(n == width ? width : 0, 1.0f);
  // Split columns too: one token alone must keep the whole team busy. Runs start on multiples of 64 of a
  // row, so that an element meets the same vector or tail code whatever m is.
  int64_t runs_per_row = (width + 63) / 64;
  run_linear(lin, {linear_scratch(lin), n, false, true}, kNothing, runs_per_row,
             [&](const FinishedRows& rows) {
               Range r = rows.parts;
               for (int64_t at = r.begin; at < r.end;) {
                 int64_t t = at / runs_per_row, run = at % runs_per_row,
                         end = std::min(runs_per_row, run + r.end - at);
                 int64_t j = run * 64, len = std::min(end * 64, width) - j;
                 const float* gate = rows.data + (t - rows.first_row) * n + j;
                 kernels_.gated_activation(a.activation, gate, n == width ? ones.data() + j : gate + width,
                                           len, row(a.out, t) + j);
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
  bool finishes = a.scale != 1 || a.soft_cap > 0;
  run_linear(lin, {out.as<float>(), out.stride(), false, false, a.rows.data()}, kNothing, finishes ? 1 : 0,
             [&](const FinishedRows& rows) {
               for (int64_t t = rows.parts.begin; t < rows.parts.end; ++t) {
                 if (a.scale != 1) kernels_.scale(a.scale, n, row(out, t));
                 if (a.soft_cap > 0) kernels_.soft_cap(a.soft_cap, n, row(out, t));
               }
             });
  if (sharded) all_gather(out, a.logits);
}

}  // namespace

Precision effective_precision(Precision asked, DType weight) {
  return asked == Precision::kInt8 && !has_integer_weights(weight) ? Precision::kBF16 : asked;
}

std::shared_ptr<Executor> make_eager_executor(std::shared_ptr<ThreadTeam> team, const KernelTable& kernels,
                                              Precision precision, std::shared_ptr<Group> group) {
  return std::make_shared<EagerExecutor>(std::move(team), kernels, precision, std::move(group));
}

}  // namespace turgo
