// `turgo bench`: prefill and decode speed beside what the machine can do, which is measured first.
#include <algorithm>

#include "apps/bench_report.h"
#include "apps/bench_speed.h"
#include "apps/command.h"
#include "apps/host_info.h"
#include "core/error.h"

namespace turgo {
namespace {

struct Bench {
  std::string model, batch = "1", kv_type;
  int32_t prompt_tokens = 512, gen_tokens = 128, context = 0, repeat = 3;
  bool profile = false, json = false;
  PipelineConfig pipeline;
};

void fill(Bench& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file; needs no tokenizer").positional();
  list.add("prompt_tokens", &o.prompt_tokens, "tokens of the prompt").range(1, 1 << 24).label("N");
  list.add("gen_tokens", &o.gen_tokens, "tokens of the answer").range(2, 1 << 24).label("N");
  list.add("batch", &o.batch, "requests that decode at once, measured one after the other: 1,2,4,8,16,32")
      .label("N,…");
  list.add("context", &o.context, "tokens in front of each answer")
      .range(0, 1 << 24)
      .label("N")
      .shown_default("as --prompt-tokens");
  list.add("kv_type", &o.kv_type, "KV cache, by name instead of --quant-policy")
      .choices({"", "bf16", "int8", "k8v4", "int4", "f32"})
      .label("TYPE")
      .shown_default("as --quant-policy says");
  list.add("repeat", &o.repeat, "runs; the median counts").range(1, 1000).label("N");
  list.add("profile", &o.profile, "also the time of each phase of a step, beside the machine's limits");
  list.add("json", &o.json, "print JSON");
  list_options(o.pipeline, list, false);
}

int32_t policy_of(const std::string& kv_type) {
  if (kv_type == "bf16") return 16;
  if (kv_type == "int8") return 8;
  if (kv_type == "k8v4") return 84;
  return kv_type == "int4" ? 4 : 32;
}

void check_lengths(const Pipeline& pipeline, const Bench& o, const std::vector<int32_t>& batches) {
  int64_t longest = o.prompt_tokens + int64_t{o.gen_tokens};
  const char* flags = "--prompt-tokens and --gen-tokens";
  if (o.context) longest = std::max<int64_t>(o.prompt_tokens, o.context + int64_t{o.gen_tokens});
  if (o.context) flags = "--context and --gen-tokens";
  if (longest > pipeline.session_len())
    fail(ErrorCode::kTooLong, "{}: expected at most {} together, the context, got {}", flags,
         pipeline.session_len(), longest);
  int32_t most = *std::max_element(batches.begin(), batches.end());
  if (most > o.pipeline.max_batch_size)
    fail(ErrorCode::kInvalidArgument, "--batch {}: expected at most --max-batch-size {}", most,
         o.pipeline.max_batch_size);
}

// All requests of a batch must fit, with the tokens that the first ones make while the last one prefills.
void check_batch(Pipeline& pipeline, int32_t batch, int32_t context, int32_t gen_tokens) {
  int32_t tokens = batch_context(pipeline.engine(), batch, context, gen_tokens);
  if (tokens > pipeline.session_len())
    fail(ErrorCode::kTooLong,
         "--batch {}: expected a context of {} tokens, the model has {}; fewer --gen-tokens fit", batch,
         tokens, pipeline.session_len());
}

int run(const Bench& o) {
  std::vector<int32_t> batches = parse_batches(o.batch);
  PipelineConfig config = o.pipeline;
  config.needs_tokenizer = false;
  config.enable_prefix_caching = false;
  if (!o.kv_type.empty()) config.quant_policy = policy_of(o.kv_type);
  // Prompts of a batch go first, so that all requests decode together after them.
  if (config.max_prefill_iters == 0) config.max_prefill_iters = 1;
  if (o.profile) config.profile = std::make_shared<StepProfile>();
  auto pipeline = Pipeline::open(o.model, config);
  check_lengths(*pipeline, o, batches);
  Engine& engine = pipeline->engine();
  measure_batch(engine, 1, std::min(o.prompt_tokens, 64), 4, 0);  // pages in, clocks up
  if (config.profile) *config.profile = {};

  BenchReport report;
  report.prompt_tokens = o.prompt_tokens;
  report.gen_tokens = o.gen_tokens;
  report.context = o.context ? o.context : o.prompt_tokens;
  report.repeat = o.repeat;
  bool alone = report.context != o.prompt_tokens || batches[0] != 1;  // prefill needs runs of its own
  for (int32_t i = 0; alone && i < o.repeat; ++i)
    report.prefill.push_back(
        measure_batch(engine, 1, o.prompt_tokens, 2, static_cast<uint32_t>(i + 1)).prefill);
  for (int32_t batch : batches) {
    check_batch(*pipeline, batch, report.context, o.gen_tokens);
    BatchResult& result = report.batches.emplace_back();
    result.batch = batch;
    for (int32_t i = 0; i < o.repeat; ++i) {
      BatchSpeed speed =
          measure_batch(engine, batch, report.context, o.gen_tokens, static_cast<uint32_t>(i + 1));
      result.decode.push_back(speed.decode);
      if (!alone && &result == &report.batches[0]) report.prefill.push_back(speed.prefill);
    }
  }
  report.peak_bytes = peak_resident_bytes();  // before the buffer of the bandwidth measurement
  report.info = pipeline->info();
  report.threads = pipeline->team().size();
  report.limits =
      measure_machine_limits(pipeline->team(), report.info.kernels.c_str(), report.info.weight_bytes);
  report.profile = config.profile;
  o.json ? print_json(report) : print_text(report);
  return 0;
}

}  // namespace

Command bench_command() {
  return make_command("bench", "Measure prefill and decode speed beside the machine's limits", fill, run);
}

}  // namespace turgo
