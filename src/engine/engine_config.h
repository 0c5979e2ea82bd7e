// What a caller may choose about an engine.
#pragma once

#include <cstdint>

#include "kernels/common/kv_block.h"

namespace turgo {

struct EngineConfig {
  int32_t session_len = 0;  // 0 = the model's own context
  int32_t max_batch_size = 128;
  int32_t max_prefill_tokens = 512;  // most tokens of a step: decodes first, prefill chunks fill the rest
  int32_t num_tokens_per_iter = 0;   // tokens of a step that also decodes; 0 = as the time budget says
  int32_t max_prefill_iters = 0;     // steps that a prompt may be cut into, whatever they take; 0 = any
  // Time budget: a step that also prefills takes at most so many times as long as its decodes alone took when
  // the prompt's turn came; what they grow by meanwhile is taken from the prompt's share down to a quarter.
  // It aims at a 99th percentile of a stream's gaps beside a long prompt under 3 times its usual gap, and
  // leaves the rest to steps that vary (docs/performance.md). 0 = none.
  double step_stretch = 2.25;
  double cache_max_entry_count = 0.8;  // share of the free memory, or > 1: number of blocks
  int32_t max_queue = 1024;            // requests waiting; beyond: Error{kResourceExhausted}
  int64_t max_queue_tokens = 4 << 20;  // and tokens waiting, unless nobody else waits
  KvType kv_type = KvType::kBF16;
  bool enable_prefix_caching = true;
  int32_t max_sessions = 4096;
  double session_ttl_seconds = 0;  // idle sessions are forgotten after it; 0 = never
};

}  // namespace turgo
