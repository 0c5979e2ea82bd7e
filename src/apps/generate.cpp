// `turgo generate`: one answer, for scripts.
#include "apps/command.h"
#include "apps/input.h"
#include "apps/json_output.h"
#include "core/error.h"
#include "pipeline/pipeline.h"

namespace turgo {
namespace {

struct Generate {
  std::string model, prompt, system;
  bool raw = false, json = false;
  GenerationConfig generation;
  PipelineConfig pipeline;
};

void fill(Generate& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("prompt", &o.prompt, "what to answer; - reads stdin").label("TEXT").required();
  list.add("raw", &o.raw, "continue the prompt as it stands, without the chat template");
  list.add("system", &o.system, "system prompt").label("TEXT");
  list.add("json", &o.json, "print one JSON object instead of the text");
  list_options(o.generation, list);
  list_options(o.pipeline, list);
}

TextStream submit(Pipeline& pipeline, const Generate& o) {
  std::string text = read_text_argument(o.prompt);
  if (o.raw) return pipeline.generate({Segment::from_text(std::move(text))}, o.generation);
  std::vector<Message> messages;
  if (!o.system.empty()) messages.push_back(Message::from_text("system", o.system));
  messages.push_back(Message::from_text("user", std::move(text)));
  return pipeline.chat(messages, o.generation);
}

Json logprobs_json(const Pipeline& pipeline, const std::vector<OutputToken>& tokens) {
  auto entry = [&](int32_t id, float logprob) {
    return Json{{"token_id", id}, {"token", pipeline.tokenizer().piece(id, false)}, {"logprob", logprob}};
  };
  Json list = Json::array();
  for (const OutputToken& token : tokens) {
    Json one = entry(token.token_id, token.logprob);
    one["top_logprobs"] = Json::array();
    for (const TokenLogprob& top : token.top_logprobs)
      one["top_logprobs"].push_back(entry(top.token_id, top.logprob));
    list.push_back(std::move(one));
  }
  return list;
}

Json answer_json(const Pipeline& pipeline, const Generate& o, const Answer& answer) {
  std::vector<int32_t> ids;
  for (const OutputToken& token : answer.tokens) ids.push_back(token.token_id);
  const RequestStats& stats = answer.stats;
  double speed = ids.size() > 1 && stats.decode_seconds > 0
                     ? static_cast<double>(ids.size() - 1) / stats.decode_seconds
                     : 0;
  Json out = {{"text", answer.text},
              {"token_ids", ids},
              {"input_token_len", answer.num_input_tokens},
              {"generate_token_len", ids.size()},
              {"finish_reason", finish_reason_name(answer.finish)},
              {"ttft_ms", stats.ttft_seconds * 1000},
              {"tokens_per_second", speed}};
  if (o.generation.logprobs >= 0) out["logprobs"] = logprobs_json(pipeline, answer.tokens);
  return out;
}

int run(const Generate& o) {
  if (o.raw && !o.system.empty())
    fail(ErrorCode::kInvalidArgument,
         "--system needs the chat template; leave out --raw, or write it into --prompt");
  auto pipeline = Pipeline::open(o.model, o.pipeline);
  if (!o.raw) pipeline->require_chat_template();
  TextStream stream = submit(*pipeline, o);
  if (o.json) {
    write_json(answer_json(*pipeline, o, stream.collect()));
    return 0;
  }
  bool ends_line = false;
  while (auto event = stream.next()) {
    if (event->finish == FinishReason::kError) fail(ErrorCode::kResourceExhausted, "{}", event->error);
    write_stdout(event->text);
    if (!event->text.empty()) ends_line = event->text.back() == '\n';
    if (event->finish != FinishReason::kNone) break;
  }
  if (!ends_line) write_stdout("\n");
  return 0;
}

}  // namespace

Command generate_command() {
  return make_command(
      "generate", "Answer one prompt; for scripts", fill, run,
      "JSON keys: text, token_ids, input_token_len, generate_token_len, finish_reason, ttft_ms, "
      "tokens_per_second; with --logprobs also logprobs.");
}

}  // namespace turgo
