#include "ops/attention_items.h"

#include <algorithm>

namespace turgo {
namespace {

// Queries per attention work item: large enough that K and V pages are read from cache, small enough to
// balance.
constexpr int32_t kQueryTile = 32;

// Rows (query, head) that may walk several kv heads: the kernel takes as many at once for any head_dim up to
// 256.
constexpr int32_t kWalkRows = 48;

// Items per thread from which on they balance without a split over keys.
constexpr int kBalancedItems = 8;

// Of all sums over segments: items beyond are not split.
constexpr int64_t kMostPartialFloats = 4 << 20;

int64_t partial_floats(const AttendArgs& a, const AttentionItem& item, int32_t num_kv_heads) {
  return int64_t{num_kv_heads} * (item.end - item.begin) * (a.num_heads / a.num_kv_heads) *
         item.num_segments() * attention_record_floats(a.kv.geometry);
}

// One per kv head.
void split_heads(const AttendArgs& a, const AttentionItem& item, std::vector<AttentionItem>& to) {
  for (int32_t h = 0; h < item.num_kv_heads; ++h) {
    to.push_back(item);
    to.back().kv_head += h;
    to.back().num_kv_heads = 1;
    if (item.partial) to.back().partial += partial_floats(a, item, h);
  }
}

// Replaces items by one per segment of their keys; returns what has to be merged then.
std::vector<AttentionItem> split_keys(const AttendArgs& a, Scratch& scratch,
                                      std::vector<AttentionItem>& items) {
  std::vector<AttentionItem> whole, split, merges;
  whole.swap(items);
  int64_t floats = 0;
  for (AttentionItem item : whole) {
    int64_t oldest =
        a.window > 0 ? std::max<int64_t>(item.keys() - (item.end - item.begin) - a.window + 1, 0) : 0;
    item.segment_begin = static_cast<int32_t>(oldest / kAttentionSegment);
    item.segment_end = item.num_segments();
    int64_t more = partial_floats(a, item, item.num_kv_heads);
    bool splits = item.segment_end - item.segment_begin > 1 && !item.sequence->last_visible &&
                  floats + more <= kMostPartialFloats;
    if (splits) floats += more;
    (splits ? split : items).push_back(item);
  }
  float* partial = reinterpret_cast<float*>(scratch.get(floats * static_cast<int64_t>(sizeof(float))));
  for (AttentionItem& item : split) {
    item.partial = partial;
    partial += partial_floats(a, item, item.num_kv_heads);
    split_heads(a, item, merges);
    for (int32_t s = item.segment_begin; s < item.segment_end; ++s) {
      items.push_back(item);
      items.back().segment_begin = s;
      items.back().segment_end = s + 1;
    }
  }
  return merges;
}

// The longest first: causal items grow with their position. Those after the last full round of the threads
// lose their kv heads to one another, so that all threads end together.
void balance(const AttendArgs& a, int num_threads, std::vector<AttentionItem>& items) {
  auto longest_first = [&] {
    std::stable_sort(items.begin(), items.end(),
                     [](const auto& x, const auto& y) { return x.cost() > y.cost(); });
  };
  longest_first();
  if (num_threads == 1 || items.empty()) return;
  int64_t total = 0;
  for (const AttentionItem& item : items) total += item.cost();
  int64_t rounds = total / (items[0].cost() * num_threads);
  auto whole = static_cast<size_t>(rounds * num_threads);
  std::vector<AttentionItem> rest(items.begin() + static_cast<ptrdiff_t>(std::min(whole, items.size())),
                                  items.end());
  items.resize(items.size() - rest.size());
  for (const AttentionItem& item : rest) split_heads(a, item, items);
  longest_first();
}

}  // namespace

int64_t AttentionItem::cost() const {
  int64_t seen = keys();
  if (partial)
    seen = std::min<int64_t>(seen, segment_end * kAttentionSegment) - segment_begin * kAttentionSegment;
  return seen * (end - begin) * num_kv_heads;
}

std::vector<AttentionItem> attention_items(const AttendArgs& a, int num_threads, Scratch& partial,
                                           std::vector<AttentionItem>& merges) {
  std::vector<AttentionItem> items;
  const int32_t group = a.num_heads / a.num_kv_heads;
  for (const SequenceRows& seq : a.sequences)
    for (int32_t i = 0; i < seq.num_rows; i += kQueryTile) {
      const int32_t end = std::min(i + kQueryTile, seq.num_rows);
      const int32_t together = std::clamp(kWalkRows / ((end - i) * group), 1, a.num_kv_heads);
      for (int32_t h = 0; h < a.num_kv_heads; h += together)
        items.push_back({&seq, h, std::min(together, a.num_kv_heads - h), i, end});
    }
  if (num_threads > 1 && items.size() < static_cast<size_t>(kBalancedItems * num_threads))
    merges = split_keys(a, partial, items);
  balance(a, num_threads, items);
  return items;
}

AttentionArgs attention_args(const AttendArgs& a, const AttentionItem& item) {
  const SequenceRows& seq = *item.sequence;
  int32_t group = a.num_heads / a.num_kv_heads;
  int64_t t = seq.row_begin + item.begin, head = int64_t{item.kv_head} * group;
  AttentionArgs args;
  args.kv = a.kv.geometry;
  args.pool = a.kv.pool;
  args.block_bytes = a.kv.block_bytes;
  args.page_offset = a.kv.layer_offset + item.kv_head * a.kv.geometry.page_bytes();
  args.block_table = seq.block_table;
  args.q = a.q.as<float>() + t * a.q.stride() + head * a.head_dim;
  args.q_stride = a.q.stride();
  args.out = a.out.as<float>() + t * a.out.stride() + head * a.head_dim;
  args.out_stride = a.out.stride();
  args.num_queries = item.end - item.begin;
  args.num_kv_heads = item.num_kv_heads;
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
  args.num_segments = item.num_segments();
  args.segment_begin = item.segment_begin;
  args.segment_end = item.segment_end;
  return args;
}

void prefetch_first_page(const AttentionArgs& args) {
  if (args.num_queries > 1) return;
  int32_t key = args.segment_begin * kAttentionSegment;
  if (args.window > 0) key = std::max(key, args.first_index + 1 - args.window);
  const std::byte* page =
      args.pool + args.block_table[key / kKvBlockTokens] * args.block_bytes + args.page_offset;
  for (int64_t i = 0, bytes = args.kv.page_bytes(); i < bytes; i += 64) __builtin_prefetch(page + i, 0, 2);
}

}  // namespace turgo
