// How the attention of a step is cut into pieces for the threads of a team. Pieces do not change a bit: keys
// are cut at kAttentionSegment, where the sums start afresh anyway.
#pragma once

#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "ops/executor.h"
#include "ops/scratch.h"

namespace turgo {

// What a thread takes at once: queries of a sequence and some kv heads, over all keys or a run of segments.
struct AttentionItem {
  const SequenceRows* sequence;
  int32_t kv_head, num_kv_heads;
  int32_t begin, end;  // queries
  int32_t segment_begin = 0, segment_end = 0;
  float* partial = nullptr;  // of all segments; null: not split
  int64_t keys() const { return int64_t{sequence->first_index} + end; }
  int32_t num_segments() const {
    return static_cast<int32_t>((keys() + kAttentionSegment - 1) / kAttentionSegment);
  }
  int64_t cost() const;
};

// The items of a step, the longest first. A few queries walk all kv heads together. Where items are few, they
// are split over their keys; `merges` are then to be merged once all items are done, from the sums in
// `partial`.
std::vector<AttentionItem> attention_items(const AttendArgs& a, int num_threads, Scratch& partial,
                                           std::vector<AttentionItem>& merges);

AttentionArgs attention_args(const AttendArgs& a, const AttentionItem& item);

// Into L2, where a single query starts.
void prefetch_first_page(const AttentionArgs& args);

}  // namespace turgo
