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
  std::vector<std::string> also;
  int32_t ctx = 512;
  int64_t tokens = 0, skip_tokens = 0;
  bool json = false;
  PipelineConfig pipeline;
};

void fill(EvalKl& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("reference", &o.reference,
           "the model it is compared with, or a .npy of its logits [tokens, vocab_size]")
      .positional();
  list.add("also", &o.also,
           "another model to compare with the reference, which is read once for all; several times")
      .label("MODEL");
  list.add("text", &o.text, "the text to compare on").label("FILE").required();
  list.add("ctx", &o.ctx, "tokens of a window").range(2, 1 << 24).label("N");
  list.add("tokens", &o.tokens, "only the first N tokens of the text")
      .range(0)
      .label("N")
      .shown_default("all");
  list.add("skip_tokens", &o.skip_tokens, "leave out the first N tokens of the text").range(0).label("N");
  list.add("reference_precision", &o.reference_precision, "arithmetic of the reference model")
      .choices({"", "auto", "int8", "bf16", "f32"})
      .label("P")
      .shown_default("that of --precision");
  list.add("json", &o.json, "print JSON");
  list_options(o.pipeline, list, false);
}

Json json_of(const KlResult& kl, const ModelInfo& info) {
  return {{"mean_kl", kl.mean},
          {"p99_kl", kl.p99},
          {"max_kl", kl.max},
          {"top1_agreement", kl.top1_agreement},
          {"num_tokens", kl.num_rows},
          {"num_scored_tokens", kl.num_scored},
          {"perplexity", std::exp(kl.model_nll)},
          {"reference_perplexity", std::exp(kl.reference_nll)},
          {"precision", info.precision},
          {"kv_type", info.kv_type}};
}

std::string text_of(const KlResult& kl, const ModelInfo& info) {
  return fmt::format(
      "KL(reference || model) mean {:.3e}, 99th percentile {:.3e}, max {:.3e}; top-1 agreement "
      "{:.2f} %; perplexity {:.4f} against {:.4f} ({} tokens, {} arithmetic, {} KV "
      "cache)\n",
      kl.mean, kl.p99, kl.max, 100 * kl.top1_agreement, std::exp(kl.model_nll), std::exp(kl.reference_nll),
      kl.num_rows, info.precision, info.kv_type);
}

int run(const EvalKl& o) {
  std::vector<std::string> paths = {o.model};
  paths.insert(paths.end(), o.also.begin(), o.also.end());
  std::vector<std::shared_ptr<Pipeline>> pipelines;
  std::vector<std::unique_ptr<LogitsSource>> models;
  std::vector<LogitsSource*> sources;
  for (const std::string& path : paths) {
    pipelines.push_back(Pipeline::open(path, o.pipeline));
    models.push_back(model_logits(pipelines.back()));
    sources.push_back(models.back().get());
  }
  auto windows = read_windows(*pipelines.front(), o.text, o.ctx, o.tokens, o.skip_tokens);
  std::unique_ptr<LogitsSource> reference;
  if (o.reference.ends_with(".npy")) {
    for (TokenWindow& window : windows) window.first_row += o.skip_tokens;
    reference = open_npy_logits(o.reference);
  } else {
    PipelineConfig config = o.pipeline;
    config.needs_tokenizer = false;
    config.quant_policy = 0;  // the reference's cache is not what is measured
    if (!o.reference_precision.empty()) config.precision = o.reference_precision;
    reference = model_logits(Pipeline::open(o.reference, config));
  }
  const std::vector<KlResult> results = measure_kl(sources, *reference, windows);
  Json list = Json::array();
  std::string text;
  for (size_t i = 0; i < results.size(); ++i) {
    list.push_back(json_of(results[i], pipelines[i]->info()));
    if (!o.also.empty()) list.back()["model"] = paths[i], text += paths[i] + ": ";
    text += text_of(results[i], pipelines[i]->info());
  }
  if (o.json) {
    write_json(o.also.empty() ? list.front() : list);
  } else {
    write_stdout(text);
  }
  return 0;
}

}  // namespace

Command eval_kl_command() {
  return make_command(
      "eval kl", "KL divergence from a reference model or its logits", fill, run,
      "KL(reference || model) = sum over the vocabulary of p_ref (log p_ref - log p_model), in nats, at "
      "each token of the text; windows as in `turgo eval ppl`. --quant-policy is the model's alone; a "
      "reference model keeps the cache of its own precision. With --also, --json prints a list.");
}

}  // namespace turgo
