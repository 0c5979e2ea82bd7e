// `turgo eval kl`: how far a model is from a reference.
#include <cmath>

#include "apps/command.h"
#include "apps/json_output.h"
#include "core/error.h"
#include "eval/kl_divergence.h"

namespace turgo {
namespace {

struct EvalKl {
  std::string model, reference, text, reference_precision;
  int32_t ctx = 512;
  int64_t tokens = 0;
  bool json = false;
  PipelineConfig pipeline;
};

void fill(EvalKl& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("reference", &o.reference,
           "the model it is compared with, or a .npy of its logits [tokens, vocab_size]")
      .positional();
  list.add("text", &o.text, "the text to compare on").label("FILE").required();
  list.add("ctx", &o.ctx, "tokens of a window").range(2, 1 << 24).label("N");
  list.add("tokens", &o.tokens, "only the first N tokens of the text")
      .range(0)
      .label("N")
      .shown_default("all");
  list.add("reference_precision", &o.reference_precision, "arithmetic of the reference model")
      .choices({"", "auto", "int8", "bf16", "f32"})
      .label("P")
      .shown_default("that of --precision");
  list.add("json", &o.json, "print JSON");
  list_options(o.pipeline, list, false);
}

int run(const EvalKl& o) {
  std::shared_ptr<Pipeline> pipeline = Pipeline::open(o.model, o.pipeline);
  auto windows = read_windows(*pipeline, o.text, o.ctx, o.tokens);
  std::unique_ptr<LogitsSource> reference;
  if (o.reference.ends_with(".npy")) {
    reference = open_npy_logits(o.reference);
  } else {
    PipelineConfig config = o.pipeline;
    config.needs_tokenizer = false;
    config.quant_policy = 0;  // the reference's cache is not what is measured
    if (!o.reference_precision.empty()) config.precision = o.reference_precision;
    reference = model_logits(Pipeline::open(o.reference, config));
  }
  KlResult kl = measure_kl(*model_logits(pipeline), *reference, windows);
  double ppl = std::exp(kl.model_nll), reference_ppl = std::exp(kl.reference_nll);
  if (o.json)
    write_json({{"mean_kl", kl.mean},
                {"p99_kl", kl.p99},
                {"max_kl", kl.max},
                {"top1_agreement", kl.top1_agreement},
                {"num_tokens", kl.num_rows},
                {"perplexity", ppl},
                {"reference_perplexity", reference_ppl},
                {"precision", pipeline->info().precision},
                {"kv_type", pipeline->info().kv_type}});
  else
    write_stdout(
        fmt::format("KL(reference || model) mean {:.3e}, 99th percentile {:.3e}, max {:.3e}; top-1 agreement "
                    "{:.2f} %; perplexity {:.4f} against {:.4f} ({} tokens, {} arithmetic, {} KV "
                    "cache)\n",
                    kl.mean, kl.p99, kl.max, 100 * kl.top1_agreement, ppl, reference_ppl, kl.num_rows,
                    pipeline->info().precision, pipeline->info().kv_type));
  return 0;
}

}  // namespace

Command eval_kl_command() {
  return make_command(
      "eval kl", "KL divergence from a reference model or its logits", fill, run,
      "KL(reference || model) = sum over the vocabulary of p_ref (log p_ref - log p_model), in nats, at "
      "each token of the text; windows as in `turgo eval ppl`. --quant-policy is the model's alone; a "
      "reference model keeps the cache of its own precision.");
}

}  // namespace turgo
