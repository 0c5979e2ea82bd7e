// `turgo eval ppl`: perplexity of a text.
#include <chrono>

#include "apps/command.h"
#include "apps/json_output.h"
#include "core/log.h"
#include "eval/perplexity.h"

namespace turgo {
namespace {

struct EvalPpl {
  std::string model, text;
  int32_t ctx = 512;
  int64_t tokens = 0;
  bool json = false;
  PipelineConfig pipeline;
};

void fill(EvalPpl& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("text", &o.text, "the text to score").label("FILE").required();
  list.add("ctx", &o.ctx, "tokens of a window").range(2, 1 << 24).label("N");
  list.add("tokens", &o.tokens, "only the first N tokens of the text")
      .range(0)
      .label("N")
      .shown_default("all");
  list.add("json", &o.json, "print JSON");
  list_options(o.pipeline, list, false);
}

int run(const EvalPpl& o) {
  auto pipeline = Pipeline::open(o.model, o.pipeline);
  auto windows = read_windows(*pipeline, o.text, o.ctx, o.tokens);
  auto start = std::chrono::steady_clock::now();
  PerplexityResult result =
      measure_perplexity(*pipeline, windows, [&](size_t i, const PerplexityResult& so_far) {
        log_info("window {} of {}: perplexity {:.4f}", i + 1, windows.size(), so_far.perplexity());
      });
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (o.json)
    write_json({{"perplexity", result.perplexity()},
                {"mean_nll", result.mean_nll},
                {"num_scored_tokens", result.num_scored},
                {"num_windows", windows.size()},
                {"ctx", o.ctx},
                {"precision", pipeline->info().precision},
                {"kv_type", pipeline->info().kv_type},
                {"seconds", seconds}});
  else
    write_stdout(fmt::format(
        "perplexity {:.4f} ({} tokens scored in {} windows of {}, {} arithmetic, {} KV cache, {:.1f} s)\n",
        result.perplexity(), result.num_scored, windows.size(), o.ctx, pipeline->info().precision,
        pipeline->info().kv_type, seconds));
  return 0;
}

}  // namespace

Command eval_ppl_command() {
  return make_command(
      "eval ppl", "Perplexity of a text", fill, run,
      "The text is tokenised once without special tokens and cut into windows of --ctx tokens that do not "
      "overlap; a "
      "model that wants BOS gets it in front of each window; every token but a window's first is scored.");
}

}  // namespace turgo
