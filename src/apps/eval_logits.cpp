// `turgo eval logits`: a model's logits as a .npy file, for comparison with other implementations.
#include "apps/command.h"
#include "apps/json_output.h"
#include "apps/token_ids.h"
#include "core/error.h"
#include "eval/token_windows.h"
#include "io/npy.h"

namespace turgo {
namespace {

struct EvalLogits {
  std::string model, token_ids, text, output;
  int32_t ctx = 512;
  int64_t tokens = 0;
  PipelineConfig pipeline;
};

void fill(EvalLogits& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file; needs no tokenizer with --token-ids").positional();
  list.add("token_ids", &o.token_ids, "the tokens, as one sequence: 1,5,7").label("IDS");
  list.add("text", &o.text, "a text instead, in windows as in `turgo eval ppl`").label("FILE");
  list.add("ctx", &o.ctx, "with --text: tokens of a window").range(1, 1 << 24).label("N");
  list.add("tokens", &o.tokens, "with --text: only the first N tokens")
      .range(0)
      .label("N")
      .shown_default("all");
  list.add("output", &o.output, "the .npy file: f32 [tokens, vocab_size]").label("FILE").required();
  list_options(o.pipeline, list, false);
}

int run(const EvalLogits& o) {
  if (o.token_ids.empty() == o.text.empty())
    fail(ErrorCode::kInvalidArgument, "expected either --token-ids or --text");
  PipelineConfig config = o.pipeline;
  config.needs_tokenizer = !o.text.empty();
  auto pipeline = Pipeline::open(o.model, config);
  std::vector<TokenWindow> windows;
  if (o.text.empty()) {
    auto ids = parse_token_ids(o.token_ids, "--token-ids", pipeline->vocab_size());
    if (static_cast<int64_t>(ids.size()) > pipeline->session_len())
      fail(ErrorCode::kTooLong, "--token-ids: expected at most {} tokens, the context, got {}",
           pipeline->session_len(), ids.size());
    windows = cut_windows(ids, static_cast<int32_t>(ids.size()), -1);
  } else {
    windows = read_windows(*pipeline, o.text, o.ctx, o.tokens);
  }
  NpyWriter writer(o.output, pipeline->vocab_size());
  for (const TokenWindow& window : windows)
    window_logits(*pipeline, window, [&](int32_t, std::span<const float> row) { writer.write_rows(row); });
  writer.finish();
  return 0;
}

}  // namespace

Command eval_logits_command() {
  return make_command("eval logits", "Write a model's logits to a .npy file", fill, run);
}

}  // namespace turgo
