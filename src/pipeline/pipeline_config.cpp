#include "pipeline/pipeline_config.h"

#include "core/error.h"
#include "core/log.h"
#include "pipeline/rank_models.h"

namespace turgo {

void list_options(PipelineConfig& c, OptionList& list, bool with_template) {
  list.add("threads", &c.threads, "compute threads").range(0, 1024).label("N").shown_default("one per core");
  list.add("precision", &c.precision, "arithmetic of the weights' products; auto: int8 for quantised weights")
      .choices({"auto", "int8", "bf16", "f32"})
      .label("P");
  list.add("head_type", &c.head_type,
           "16-bit head of a folder with quantised layers: in 8 bits, or as in the file (always with f32)")
      .choices({"int8", "file"})
      .label("T");
  list.add("session_len", &c.session_len, "context in tokens: prompt, history and answer")
      .range(0, 1 << 24)
      .label("N")
      .shown_default("the model's own");
  list.add("max_batch_size", &c.max_batch_size, "requests computed at once").range(1, 65536).label("N");
  list.add("cache_max_entry_count", &c.cache_max_entry_count,
           "share of the free memory for the KV cache; 1 and more: number of blocks")
      .range(0.001, 1e9)
      .label("X");
  list.add("cache_block_seq_len", &c.cache_block_seq_len, "tokens per block of the KV cache")
      .range(64, 64)
      .label("N");
  list.add("max_prefill_token_num", &c.max_prefill_token_num, "most tokens of one step")
      .range(1, 65536)
      .label("N");
  list.add("num_tokens_per_iter", &c.num_tokens_per_iter, "tokens of a step in which answers are running too")
      .range(0, 65536)
      .label("N")
      .shown_default("as measured times allow beside answers");
  list.add("max_prefill_iters", &c.max_prefill_iters,
           "steps that a prompt may be cut into, whatever they take")
      .range(0, 65536)
      .label("N")
      .shown_default("any number");
  list.add("session_ttl", &c.session_ttl, "seconds after which an idle session is forgotten; 0: never")
      .range(0, 1e9)
      .label("S");
  list.add("model_format", &c.model_format, "checked against what the files are")
      .choices({"", "hf", "gguf", "llama", "awq", "gptq", "compressed-tensors", "smooth_quant", "fp8"})
      .label("FORMAT")
      .shown_default("seen from the files");
  list.add("quant_policy", &c.quant_policy,
           "KV cache: 0 bf16, 8 int8, 84 int8 keys with 4-bit values, 4 int4; 16 and 32: bf16 and f32")
      .range(0, 84)
      .label("N");
  list.add("tp", &c.tp, "ranks that share the model; on a CPU each computes on cores of its own")
      .range(1, 1024)
      .label("N");
  list.add("rope_scaling_factor", &c.rope_scaling_factor,
           "stretch the positions by this factor; 0: as trained")
      .range(0, 1024)
      .label("X");
  if (with_template)
    list.add("chat_template", &c.chat_template, "name (`turgo list`), Jinja file, or LMDeploy's JSON")
        .label("T")
        .shown_default("the model's own");
  list.add("log_level", &c.log_level, "messages on stderr")
      .choices({"debug", "info", "warning", "error", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"})
      .label("L");
  list.add("trust_remote_code", &c.trust_remote_code,
           "accepted and not needed: no code of a model is ever run");
  list.add("backend", &c.backend, "accepted: there is one engine")
      .choices({"", "turbomind", "pytorch"})
      .label("B");
}

void check_config(const PipelineConfig& c) {
  char level = static_cast<char>(c.log_level.empty() ? 'w' : c.log_level[0] | 0x20);
  set_log_level(level == 'd'   ? LogLevel::kDebug
                : level == 'i' ? LogLevel::kInfo
                : level == 'w' ? LogLevel::kWarning
                               : LogLevel::kError);
  kv_type_of(c);
  check_tp(c.tp);
  if (c.model_format == "llama")
    fail(ErrorCode::kUnsupported,
         "--model-format llama (Meta's own files) is not read; use the Hugging Face folder or a GGUF file");
  if (c.rope_scaling_factor != 0 && c.rope_scaling_factor < 1)
    fail(ErrorCode::kInvalidArgument, "--rope-scaling-factor: expected 0 (as trained) or at least 1, got {}",
         c.rope_scaling_factor);
  if (c.trust_remote_code)
    log_warning(
        "--trust-remote-code is not needed: known architectures run here, and no code of a model ever does");
}

KvType kv_type_of(const PipelineConfig& c) {
  switch (c.quant_policy) {
    case 0:
      return c.precision == "f32" ? KvType::kF32 : KvType::kBF16;
    case 4:
      return KvType::kI4;
    case 8:
      return KvType::kI8;
    case 16:
      return KvType::kBF16;
    case 32:
      return KvType::kF32;
    case 84:
      return KvType::kK8V4;
    default:
      fail(ErrorCode::kInvalidArgument,
           "--quant-policy: expected 0 (bf16), 8 (int8), 84 (int8 keys, 4-bit values) or 4 (int4), got {}",
           c.quant_policy);
  }
}

}  // namespace turgo
