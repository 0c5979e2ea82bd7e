// How a model is loaded and run. Names are LMDeploy's TurbomindEngineConfig where it has them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/options.h"
#include "kernels/common/kv_block.h"

namespace turgo {

struct StepProfile;

struct PipelineConfig {
  int32_t session_len = 0;
  int32_t max_batch_size = 128;
  int32_t max_queue = 0;  // requests that may wait; 0 = 1024, or 4 for each of a larger batch
  double cache_max_entry_count = 0.8;
  int32_t cache_block_seq_len = 64;
  int32_t max_prefill_token_num = 512;
  int32_t num_tokens_per_iter = 0;
  int32_t max_prefill_iters = 0;
  bool enable_prefix_caching = true;
  double session_ttl = 0;  // seconds after which an idle session is forgotten; 0 = never
  std::string model_format;
  int32_t quant_policy = 0;  // KV cache, kv_type_of()
  int32_t tp = 1;
  float rope_scaling_factor = 0;
  bool trust_remote_code = false;
  std::string backend;
  int32_t threads = 0;
  std::string precision = "auto";  // auto, int8, bf16, f32
  std::string head_type = "int8";  // int8, file: LoadOptions::round_head
  std::string chat_template;       // "" = the model's own
  std::string log_level = "warning";
  bool needs_tokenizer = true;  // no flag: eval logits and bench do without
  // No flag: `turgo bench --profile`. Filled by rank 0.
  std::shared_ptr<StepProfile> profile;
};

// `with_template`: also --chat-template, for commands that chat.
void list_options(PipelineConfig& config, OptionList& list, bool with_template = true);

// Throws Error{kUnsupported} for what is not built yet; sets the log level; warns about flags without effect.
void check_config(const PipelineConfig& config);

// quant_policy: 0 bf16 (f32 with --precision f32: a reference may not round its cache either), 8 int8,
// 4 int4, 84 int8 K with 4-bit V, and 16 and 32 for bf16 and f32 whatever the precision. Throws
// Error{kInvalidArgument} for other numbers.
KvType kv_type_of(const PipelineConfig& config);

}  // namespace turgo
