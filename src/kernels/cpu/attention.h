// Attention of one sequence over its pages (AttentionArgs in kernel_table.h), written once for every vector
// type V and page type.
//
// Rows (kv head, query, head of its group) go in tiles that share each page while it is in cache. Per row:
// walk the pages from the first visible key's to the last visible key's in absolute order; per page 64
// scores, one new maximum, one rescale, then the page's keys added in order; every kAttentionSegment keys the
// sums start afresh and are merged in order. Nothing of a row depends on the other rows: keys that a row does
// not see have probability exactly 0, which changes no bit of its sums but the sign of a zero, and that is
// cleared at the end. So whole prefill, chunks, single queries and any split of the group agree bit for bit.
//
// Order of operations per score: scale (on q), soft cap, ALiBi slope * (key - query), mask.
#pragma once

#include "kernels/cpu/attention_pages.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/rows_elementwise.h"

namespace turgo {
namespace {

constexpr float kLowestScore = -1e38f;  // finite also in units of log 2
constexpr float kLog2E = 1.44269504f;

// A row's sums over the segments so far.
struct RowTotal {
  float *max, *sum, *out;
};

// A sink is a first key with no value.
template <class V>
void clear_total(const RowTotal& total, const float* sink, int64_t columns) {
  *total.max = sink != nullptr ? *sink : kLowestScore;
  *total.sum = sink != nullptr ? 1 : 0;
  for (int64_t d = 0; d < columns; d += V::kLanes) V::store(total.out + d, V::zero());
}

template <class V>
void merge_segment(const RowTotal& total, float max, float sum, const float* out, int64_t columns) {
  const float highest = max > *total.max ? max : *total.max;
  const auto unit = V::set1(kLog2E), offset = V::mul(V::set1(highest), unit);
  const auto old_factor = exp2_low<V>(V::sub(V::mul(V::set1(*total.max), unit), offset));
  const auto new_factor = exp2_low<V>(V::sub(V::mul(V::set1(max), unit), offset));
  alignas(64) float merged[V::kLanes];
  V::store(merged, V::fma(V::set1(sum), new_factor, V::mul(V::set1(*total.sum), old_factor)));
  *total.max = highest;
  *total.sum = merged[0];
  for (int64_t d = 0; d < columns; d += V::kLanes) {
    V::store(total.out + d, V::fma(V::load(out + d), new_factor, V::mul(V::load(total.out + d), old_factor)));
  }
}

template <class V>
void finish_attention_row(const float* sums, float sum, int64_t head_dim, float* y) {
  const auto divisor = V::set1(sum == 0 ? 1 : sum);
  for (int64_t d = 0; d < head_dim; d += V::kLanes) {
    const auto x = V::add(V::div(V::load(sums + d), divisor), V::zero());  // -0 becomes +0
    head_dim - d >= V::kLanes ? V::store(y + d, x) : V::store_partial(y + d, x, head_dim - d);
  }
}

// Row `index` of a call.
struct AttentionRow {
  int32_t kv_head, query, head;  // head: of all that the call has
};
inline AttentionRow attention_row(const AttentionArgs& args, int64_t index) {
  const int64_t per_head = int64_t{args.num_queries} * args.group, within = index % per_head;
  const auto kv_head = static_cast<int32_t>(index / per_head);
  return {kv_head, static_cast<int32_t>(within / args.group),
          kv_head * args.group + static_cast<int32_t>(within % args.group)};
}
inline int64_t attention_rows(const AttentionArgs& args) {
  return int64_t{args.num_kv_heads} * args.num_queries * args.group;
}

// max, sum, 14 unused, out.
inline float* attention_record(const AttentionArgs& args, int64_t row, int64_t segment) {
  return args.partial + (row * args.num_segments + segment) * (16 + args.kv.v_columns());
}

template <class V, class Page>
class Attention {
  static constexpr int kMaxRows = 96;              // rows that share a page
  static constexpr int64_t kMaxFloats = 96 * 128;  // of their outputs, and of their queries
  static constexpr int kTileRows = V::kTileRows;
  // Small pages are computed faster than memory answers: look at least this far ahead.
  static constexpr int64_t kPrefetchBytes = 12288;
  static_assert(kTileRows <= V::kLanes);

  const AttentionArgs& args_;
  PageShape shape_;
  int64_t words_;  // per query
  int64_t page_bytes_;
  int32_t ahead_pages_;  // of the walk: by kv heads, then by blocks
  int rows_ = 0;
  int32_t first_kv_head_ = 0, num_kv_heads_ = 0;  // of the rows
  int32_t low_ = 0, high_ = 0;                    // keys that any row of the tile sees
  // Per row of the tile.
  int32_t kv_head_[kMaxRows], query_[kMaxRows], head_[kMaxRows];
  int32_t begin_[kMaxRows], end_[kMaxRows];  // visible cache indices [begin, end); the tree mask comes on top
  QueryFactors factors_[kMaxRows];
  alignas(64) float max_[kMaxRows + V::kLanes];
  alignas(64) float sum_[kMaxRows][V::kLanes];
  alignas(64) float queries_[kMaxFloats];
  alignas(64) float out_[kMaxFloats];
  // Over the segments so far.
  float total_max_[kMaxRows], total_sum_[kMaxRows];
  alignas(64) float total_out_[kMaxFloats];
  // Of the register tile in work.
  alignas(64) float scores_[kTileRows * kKvBlockTokens];
  uint64_t visible_[kTileRows];

 public:
  explicit Attention(const AttentionArgs& args) : args_(args) {
    const KvGeometry& g = args.kv;
    shape_ = {g.head_dim, g.v_columns(), g.k_bytes(), g.k_params_offset(), g.v_params_offset(), g.v_groups(),
              0};
    words_ = Page::words_per_query(shape_);
    page_bytes_ = shape_.k_bytes + g.v_bytes();
    ahead_pages_ = static_cast<int32_t>(1 + kPrefetchBytes / page_bytes_);
  }

  void run() {
    const int64_t total = attention_rows(args_);
    const int64_t fit = kMaxFloats / shape_.columns;
    const int64_t most = fit < kMaxRows ? fit : kMaxRows;
    for (int64_t first = 0; first < total; first += most) {
      rows_ = static_cast<int>(total - first < most ? total - first : most);
      low_ = INT32_MAX;
      high_ = 0;
      for (int r = 0; r < rows_; ++r) {
        start_row(r, first + r);
        low_ = begin_[r] < low_ ? begin_[r] : low_;
        high_ = end_[r] > high_ ? end_[r] : high_;
      }
      first_kv_head_ = kv_head_[0];
      num_kv_heads_ = kv_head_[rows_ - 1] - first_kv_head_ + 1;
      const int32_t begin = low_ / kAttentionSegment, end = (high_ - 1) / kAttentionSegment + 1;
      if (args_.partial != nullptr) {
        for (int32_t s = args_.segment_begin; s < args_.segment_end; ++s) {
          visit_segment(s);
          for (int r = 0; r < rows_; ++r) write_record(r, first + r, s);
        }
      } else if (end - begin == 1 && args_.sinks == nullptr) {
        // Merging one segment into nothing multiplies by one and adds zero.
        visit_segment(begin);
        for (int r = 0; r < rows_; ++r) {
          finish_attention_row<V>(out_ + r * shape_.columns, V::reduce_add(V::load(sum_[r])), shape_.head_dim,
                                  output(r));
        }
      } else {
        for (int r = 0; r < rows_; ++r) clear_total<V>(row_total(r), sink(r), shape_.columns);
        for (int32_t s = begin; s < end; ++s) {
          visit_segment(s);
          for (int r = 0; r < rows_; ++r) {
            merge_segment<V>(row_total(r), max_[r], V::reduce_add(V::load(sum_[r])),
                             out_ + r * shape_.columns, shape_.columns);
          }
        }
        for (int r = 0; r < rows_; ++r) {
          const RowTotal t = row_total(r);
          finish_attention_row<V>(t.out, *t.sum, shape_.head_dim, output(r));
        }
      }
    }
  }

 private:
  void start_row(int r, int64_t index) {
    const AttentionRow row = attention_row(args_, index);
    kv_head_[r] = row.kv_head;
    query_[r] = row.query;
    head_[r] = row.head;
    const int32_t self = args_.first_index + query_[r];
    end_[r] = (args_.last_visible != nullptr ? args_.last_visible[query_[r]] : self) + 1;
    begin_[r] = args_.window > 0 && self - args_.window + 1 > 0 ? self - args_.window + 1 : 0;
    const float* q = args_.q + query_[r] * args_.q_stride + head_[r] * shape_.head_dim;
    Page::prepare(shape_, q, args_.scale, queries_ + r * words_, factors_[r]);
  }
  float* output(int r) const { return args_.out + query_[r] * args_.out_stride + head_[r] * shape_.head_dim; }
  const float* sink(int r) const { return args_.sinks != nullptr ? args_.sinks + head_[r] : nullptr; }
  RowTotal row_total(int r) { return {total_max_ + r, total_sum_ + r, total_out_ + r * shape_.columns}; }

  void write_record(int r, int64_t row, int32_t segment) {
    float* record = attention_record(args_, row, segment);
    record[0] = max_[r];
    record[1] = V::reduce_add(V::load(sum_[r]));
    for (int64_t d = 0; d < shape_.columns; d += V::kLanes) {
      V::store(record + 16 + d, V::load(out_ + r * shape_.columns + d));
    }
  }

  // Leaves the sums of every row over the keys of one segment in max_, sum_ and out_.
  void visit_segment(int32_t segment) {
    for (int r = 0; r < rows_; ++r) {
      max_[r] = kLowestScore;
      V::store(sum_[r], V::zero());
    }
    for (int64_t i = 0; i < rows_ * shape_.columns; i += V::kLanes) V::store(out_ + i, V::zero());
    const int32_t first = segment * kAttentionSegment, last = first + kAttentionSegment;
    const int32_t low = low_ > first ? low_ : first, high = high_ < last ? high_ : last;
    for (int32_t p = low / kKvBlockTokens; p * kKvBlockTokens < high; ++p) {
      visit_page(p, args_.partial != nullptr ? high : high_);
    }
  }

  void visit_page(int32_t p, int32_t high) {
    for (int r = 0; r < rows_;) {
      const int32_t place = kv_head_[r] - first_kv_head_, next = place + ahead_pages_;
      const std::byte* page = page_at(p, place);
      shape_.ahead = 0;
      const int32_t next_block = p + next / num_kv_heads_;
      if (next_block * kKvBlockTokens < high) prefetch(page_at(next_block, next % num_kv_heads_), page);
      int end = r + 1;
      while (end < rows_ && kv_head_[end] == kv_head_[r]) ++end;
      visit_rows(page, p, r, end);
      r = end;
    }
  }

  void visit_rows(const std::byte* page, int32_t p, int begin, int end) {
    for (int r = begin; r < end;) {
      const int left = end - r;
      if (kTileRows >= 6 && left >= 6 && left != 7) {
        visit_tile<6>(page, p, r);
        r += 6;
      } else if (left >= 4) {
        visit_tile<4>(page, p, r);
        r += 4;
      } else if (left == 3) {
        visit_tile<3>(page, p, r);
        r += 3;
      } else if (left == 2) {
        visit_tile<2>(page, p, r);
        r += 2;
      } else {
        visit_tile<1>(page, p, r);
        r += 1;
      }
    }
  }

  // The first register tile brings K and V of the page to come, line by line as it reads this one; the scales
  // and zeros here, for they are short and would each cost a whole memory latency.
  void prefetch(const std::byte* next, const std::byte* page) {
    shape_.ahead = next - page;
    for (int64_t i = shape_.k_params; i < shape_.k_bytes; i += 64) __builtin_prefetch(next + i);
    for (int64_t i = shape_.v_params; i < page_bytes_; i += 64) __builtin_prefetch(next + i);
  }

  // `place`: of the kv head among those of the rows.
  const std::byte* page_at(int32_t p, int32_t place) const {
    return args_.pool + args_.block_table[p] * args_.block_bytes + args_.page_offset +
           (first_kv_head_ + place) * page_bytes_;
  }

  // Bit b: row r sees key p * 64 + b.
  uint64_t visible_keys(int r, int32_t p) const {
    const int32_t base = p * kKvBlockTokens;
    const int32_t low = begin_[r] > base ? begin_[r] - base : 0;
    const int32_t high = end_[r] - base < kKvBlockTokens ? end_[r] - base : kKvBlockTokens;
    if (low >= high) return 0;
    uint64_t bits = ~uint64_t{0} << low;
    if (high < 64) bits &= (uint64_t{1} << high) - 1;
    if (args_.tree_mask != nullptr) {
      const uint64_t tree = args_.tree_mask[query_[r]];
      const int32_t shift = base - args_.first_index;  // bit of the tree that stands at bit 0
      if (shift >= 64) return 0;
      if (shift >= 0) {
        bits &= tree >> shift;
      } else if (shift > -64) {
        bits &= tree << -shift | ((uint64_t{1} << -shift) - 1);
      }
    }
    return bits;
  }

  template <int R>
  void visit_tile(const std::byte* page, int32_t p, int row) {
    uint64_t any = 0;
    for (int i = 0; i < R; ++i) {
      visible_[i] = visible_keys(row + i, p);
      any |= visible_[i];
    }
    if (any == 0) return;
    const int64_t keys = 64 - __builtin_clzll(any);  // up to the last one that a row of the tile sees
    const int64_t padded = (keys + 2 * V::kLanes - 1) / (2 * V::kLanes) * (2 * V::kLanes);
    Page::template scores<R>(shape_, page, queries_ + row * words_, factors_ + row, padded, scores_);
    alignas(64) float maximum[V::kLanes] = {};
    for (int i = 0; i < R; ++i) maximum[i] = finish_scores(i, row + i, p, padded);
    rescale<R>(row, maximum);
    for (int i = 0; i < R; ++i) probabilities(i, row + i, padded);
    Page::template accumulate<R>(shape_, page, scores_, keys, out_ + row * shape_.columns);
    shape_.ahead = 0;
  }

  // Soft cap, ALiBi and mask in place; returns the row's new maximum.
  float finish_scores(int i, int row, int32_t p, int64_t padded) {
    float* s = scores_ + i * kKvBlockTokens;
    const bool all = visible_[i] == ~uint64_t{0};
    auto highest = V::set1(kLowestScore);
    for (int64_t k = 0; k < padded; k += V::kLanes) {
      auto x = V::load(s + k);
      if (args_.soft_cap > 0) x = soft_cap<V>(x, args_.soft_cap);
      if (args_.alibi_slopes != nullptr) {
        const int32_t distance =
            p * kKvBlockTokens + static_cast<int32_t>(k) - args_.first_index - query_[row];
        const auto position = V::add(V::set1(static_cast<float>(distance)), V::iota());
        x = V::fma(V::set1(args_.alibi_slopes[head_[row]]), position, x);
      }
      if (!all) x = V::select(V::mask_from_bits(visible_[i] >> k), x, V::set1(kLowestScore));
      V::store(s + k, x);
      highest = V::max(highest, x);
    }
    const float page_max = V::reduce_max(highest);
    return page_max > max_[row] ? page_max : max_[row];
  }

  // The factor 1 of a row whose maximum stays is exact, so skipping it or not gives the same bits.
  template <int R>
  void rescale(int row, const float* maximum) {
    alignas(64) float old[V::kLanes] = {};
    for (int i = 0; i < R; ++i) old[i] = max_[row + i];
    alignas(64) float factor[V::kLanes];
    const auto unit = V::set1(kLog2E);
    V::store(factor, exp2_low<V>(V::sub(V::mul(V::load(old), unit), V::mul(V::load(maximum), unit))));
    for (int i = 0; i < R; ++i) {
      if (maximum[i] == old[i]) continue;
      max_[row + i] = maximum[i];
      const auto f = V::set1(factor[i]);
      V::store(sum_[row + i], V::mul(V::load(sum_[row + i]), f));
      float* out = out_ + (row + i) * shape_.columns;
      for (int64_t d = 0; d < shape_.columns; d += V::kLanes) V::store(out + d, V::mul(V::load(out + d), f));
    }
  }

  // scores -> e^(score - max), 0 where not visible; in place, as bf16 pairs at the row's front where the page
  // wants them so.
  void probabilities(int i, int row, int64_t padded) {
    float* s = scores_ + i * kKvBlockTokens;
    // One fma per score. The product's rounding is the same for all keys and for the rescale, so it cancels.
    const auto unit = V::set1(kLog2E), offset = V::set1(-(max_[row] * kLog2E));
    auto sum = V::load(sum_[row]);
    for (int64_t k = 0; k < padded; k += 2 * V::kLanes) {
      typename V::F x[2];
      for (int j = 0; j < 2; ++j) {
        x[j] = exp2_low<V>(V::fma(V::load(s + k + j * V::kLanes), unit, offset));
        const uint64_t bits = visible_[i] >> (k + j * V::kLanes);
        if (visible_[i] != ~uint64_t{0}) x[j] = V::select(V::mask_from_bits(bits), x[j], V::zero());
      }
      if constexpr (Page::kDotSum) {
        V::store_bf16_pairs(s + k / 2, x[0], x[1]);
        sum = V::add_bf16_pairs(sum, s + k / 2);
      } else {
        for (int j = 0; j < 2; ++j) {
          V::store(s + k + j * V::kLanes, x[j]);
          sum = V::add(sum, x[j]);
        }
      }
    }
    V::store(sum_[row], sum);
  }
};

template <class V>
void attention(const AttentionArgs& args) {
  switch (args.kv.type) {
    case KvType::kF32:
      return Attention<V, PageF32<V>>(args).run();
    case KvType::kBF16:
      return Attention<V, PageBf16<V>>(args).run();
    case KvType::kI8:
      return Attention<V, PageQuantized<V, false, false>>(args).run();
    case KvType::kI4:
      return Attention<V, PageQuantized<V, true, true>>(args).run();
    case KvType::kK8V4:
      return Attention<V, PageQuantized<V, false, true>>(args).run();
  }
}

template <class V>
void attention_merge(const AttentionArgs& args) {
  constexpr int64_t kMaxColumns = 1024;
  const int64_t columns = args.kv.v_columns(), head_dim = args.kv.head_dim;
  float max, sum;
  alignas(64) float out[kMaxColumns];
  const RowTotal total{&max, &sum, out};
  for (int64_t r = 0; r < attention_rows(args); ++r) {
    const AttentionRow row = attention_row(args, r);
    clear_total<V>(total, args.sinks != nullptr ? args.sinks + row.head : nullptr, columns);
    for (int32_t s = args.segment_begin; s < args.segment_end; ++s) {
      const float* record = attention_record(args, r, s);
      merge_segment<V>(total, record[0], record[1], record + 16, columns);
    }
    finish_attention_row<V>(out, sum, head_dim, args.out + row.query * args.out_stride + row.head * head_dim);
  }
}

}  // namespace
}  // namespace turgo
