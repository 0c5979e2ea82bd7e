// What a caller may choose about an engine.
#pragma once

#include <cstdint>

#include "kernels/common/kv_block.h"

namespace turgo {

struct EngineConfig {
  int32_t session_len = 0;  // 0 = the model's own context
  int32_t max_batch_size = 128;
  int32_t max_prefill_tokens = 512;    // token budget of a step: decodes first, prefill chunks fill the rest
  double cache_max_entry_count = 0.8;  // share of the free memory, or > 1: number of blocks
  int32_t max_queue = 1024;            // requests waiting; beyond: Error{kResourceExhausted}
  KvType kv_type = KvType::kBF16;
  bool enable_prefix_caching = true;
  int32_t max_sessions = 4096;
  double session_ttl_seconds = 0;  // idle sessions are forgotten after it; 0 = never
};

}  // namespace turgo
