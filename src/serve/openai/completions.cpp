// POST /v1/completions (https://platform.openai.com/docs/api-reference/completions): texts, token ids and
// batches of both; echo with the prompt's own log probabilities, as evaluation harnesses ask for it.
#include <algorithm>
#include <cmath>
#include <ctime>

#include "serve/api_server.h"
#include "serve/grammar/response_format.h"
#include "serve/openai/fill_in_middle.h"
#include "serve/openai/token_json.h"
#include "serve/openai/usage.h"
#include "text/utf8.h"

namespace turgo {
namespace {

constexpr size_t kMaxPrompts = 128;

struct CompletionRequest {
  GenerationConfig generation;
  std::vector<std::vector<int32_t>> prompts;
  StreamOptions stream_options;
  std::string suffix;
  bool streams = false, echo = false;
  int32_t n = 1;
  std::optional<AskedGrammar> grammar;
};

std::vector<int32_t> ids_of(const Json& list, int32_t vocab_size) {
  std::vector<int32_t> ids;
  for (const Json& one : list) {
    bool fits = one.is_number_integer() && one.get<double>() >= 0 && one.get<double>() < vocab_size;
    if (!fits) bad_field("prompt", "expected token ids from 0 to {}, got {}", vocab_size - 1, shown(one));
    ids.push_back(one.get<int32_t>());
  }
  return ids;
}

std::vector<std::vector<int32_t>> read_prompts(Pipeline& pipeline, const Json& prompt) {
  auto one = [&](const Json& value) -> std::vector<int32_t> {
    if (value.is_string()) return pipeline.prompt_tokens({Segment::from_text(value.get<std::string>())});
    if (value.is_array()) return ids_of(value, pipeline.vocab_size());
    bad_field("prompt", "expected a text or a list of token ids, got {}", shown(value));
  };
  std::vector<std::vector<int32_t>> prompts;
  bool is_batch = prompt.is_array() && !prompt.empty() && !prompt.front().is_number();
  if (!is_batch) {
    prompts.push_back(one(prompt));
  } else {
    if (prompt.size() > kMaxPrompts)
      bad_field("prompt", "expected at most {} prompts, got {}", kMaxPrompts, prompt.size());
    for (const Json& value : prompt) prompts.push_back(one(value));
  }
  for (const auto& ids : prompts)
    if (ids.empty()) bad_field("prompt", "is empty; expected at least one token");
  return prompts;
}

// What stands between a prompt and its suffix, in the model's own form.
std::vector<std::vector<int32_t>> fill_in_prompts(ApiServer& server, CompletionRequest& r,
                                                  const Json& prompt) {
  const Tokenizer& tokenizer = server.pipeline().tokenizer();
  auto middle = FillInMiddle::find(tokenizer);
  if (!middle)
    bad_field("suffix", "the model {} was not taught to fill in between two texts",
              quote(server.config().model_name));
  if (r.echo) bad_field("echo", "does not go with suffix");
  std::vector<std::vector<int32_t>> out;
  for (const Json& text : prompt.is_array() ? prompt : Json::array({prompt})) {
    if (!text.is_string()) bad_field("prompt", "expected texts with suffix, got {}", shown(text));
    out.push_back(middle->prompt(tokenizer, text.get<std::string>(), r.suffix));
  }
  if (out.empty() || out.size() > kMaxPrompts)
    bad_field("prompt", "expected 1 to {} prompts, got {}", kMaxPrompts, out.size());
  for (int32_t id : middle->stop_ids) r.generation.stop_token_ids.push_back(id);
  return out;
}

Json prompt_schema() {
  Json text = {{"type", "string"}, {"minLength", 1}};
  Json ids = {{"type", "array"}, {"items", {{"type", "integer"}, {"minimum", 0}}}, {"minItems", 1}};
  Json one = {{"anyOf", Json::array({text, ids})}};
  Json many = {{"type", "array"}, {"items", std::move(one)}, {"minItems", 1}, {"maxItems", kMaxPrompts}};
  return {{"anyOf", Json::array({std::move(text), std::move(ids), std::move(many)})}};
}

CompletionRequest read_request(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  CompletionRequest r;
  r.generation.temperature = 0.7f;
  r.generation.top_p = 1;
  r.generation.max_new_tokens = 16;
  server.check_model(f);
  const Json* prompt = f.need("prompt", "a text, token ids, or a list of either", prompt_schema);
  f.flag("stream", r.streams);
  take_stream_options(f, r.stream_options);
  f.integer("n", r.n, 1, 128);
  int32_t best_of = r.n;
  f.integer("best_of", best_of, 1, 128);
  if (best_of != r.n) bad_field("best_of", "expected the value of n, {}; more is not built yet", r.n);
  f.flag("echo", r.echo);
  f.integer("max_tokens", r.generation.max_new_tokens, r.echo ? 0 : 1, INT32_MAX);
  f.integer("logprobs", r.generation.logprobs, 0, 20);
  f.text("suffix", r.suffix);
  r.grammar = take_grammar(f);
  f.refuse("adapter_name", "", "adapters are not built yet");
  f.harmless({"user", "session_id"});
  take_sampling(f, r.generation, server.vocab_size());
  f.finish();
  if (r.grammar && r.generation.ignore_eos) bad_field("ignore_eos", "does not go with {}", r.grammar->field);
  r.prompts =
      r.suffix.empty() ? read_prompts(server.pipeline(), *prompt) : fill_in_prompts(server, r, *prompt);
  return r;
}

// The log probability of every token of a prompt but the first one, and of the `n` best in its place.
std::vector<OutputToken> prompt_logprobs(Pipeline& pipeline, const std::vector<int32_t>& ids, int32_t n) {
  std::vector<OutputToken> out(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) out[i].token_id = ids[i];
  std::vector<int32_t> order;
  pipeline.engine().compute_logits(ids, [&](int32_t index, std::span<const float> logits) {
    size_t next = static_cast<size_t>(index) + 1;
    if (next >= ids.size()) return;
    double max = *std::max_element(logits.begin(), logits.end()), sum = 0;
    for (float logit : logits) sum += std::exp(static_cast<double>(logit) - max);
    double norm = max + std::log(sum);
    auto logprob = [&](int32_t id) {
      return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(id)]) - norm);
    };
    out[next].logprob = logprob(ids[next]);
    if (n == 0) return;
    order.resize(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    for (int32_t i = 0; i < n; ++i)
      out[next].top_logprobs.push_back(
          {order[static_cast<size_t>(i)], logprob(order[static_cast<size_t>(i)])});
  });
  return out;
}

struct Echo {
  std::string text;
  std::vector<OutputToken> tokens;
};

class CompletionFormatter : public AnswerFormat {
 public:
  CompletionFormatter(ApiServer& server, const CompletionRequest& r, std::vector<Echo> echoes)
      : tokenizer_(server.pipeline().tokenizer()),
        model_(server.config().model_name),
        echoes_(std::move(echoes)),
        logprobs_(r.prompts.size() * static_cast<size_t>(r.n)),
        stream_options_(r.stream_options),
        wants_logprobs_(r.generation.logprobs >= 0) {}

  std::string begin(const std::vector<Choice>& choices) override {
    std::string out;
    for (size_t i = 0; i < choices.size() && !echoes_.empty(); ++i) {
      CompletionLogprobs lists;
      add_echo(lists, choices[i]);
      out += chunk(choices, i, echoes_[choices[i].prompt].text, lists, nullptr, 0);
      logprobs_[i].offset = lists.offset;
    }
    return out;
  }

  std::string piece(const std::vector<Choice>& choices, size_t index, const TextEvent& event) override {
    Json finish = event.finish == FinishReason::kNone ? Json(nullptr) : Json(openai_finish(event.finish));
    if (event.text.empty() && finish.is_null() && !wants_logprobs_) return "";
    CompletionLogprobs lists;
    lists.offset = logprobs_[index].offset;
    for (const OutputToken& token : event.tokens) lists.add(tokenizer_, token);
    logprobs_[index].offset = lists.offset;
    return chunk(choices, index, event.text, lists, std::move(finish), event.tokens.size());
  }

  std::string end(const std::vector<Choice>& choices) override {
    std::string out;
    if (stream_options_.has_usage) {
      Json json = head();
      json["choices"] = Json::array();
      json["usage"] = usage_json(choices);
      out = "data: " + dump_json(json) + "\n\n";
    }
    return out + "data: [DONE]\n\n";
  }

  std::string whole(const std::vector<Choice>& choices) override {
    Json json = head();
    json["choices"] = Json::array();
    for (size_t i = 0; i < choices.size(); ++i) {
      CompletionLogprobs lists;
      if (!echoes_.empty()) add_echo(lists, choices[i]);
      for (const OutputToken& token : choices[i].tokens) lists.add(tokenizer_, token);
      std::string text = echoes_.empty() ? "" : echoes_[choices[i].prompt].text;
      json["choices"].push_back(
          choice_json(i, text + choices[i].text, lists, openai_finish(choices[i].finish)));
    }
    json["usage"] = usage_json(choices);
    return dump_json(json);
  }

 private:
  Json head() const {
    return {{"id", id_}, {"object", "text_completion"}, {"created", created_}, {"model", model_}};
  }
  void add_echo(CompletionLogprobs& lists, const Choice& choice) const {
    const Echo& echo = echoes_[choice.prompt];
    for (size_t i = 0; i < echo.tokens.size(); ++i) lists.add(tokenizer_, echo.tokens[i], i > 0);
  }
  Json choice_json(size_t index, const std::string& text, const CompletionLogprobs& lists,
                   Json finish) const {
    return {{"index", index},
            {"text", text},
            {"logprobs", wants_logprobs_ ? lists.to_json() : Json(nullptr)},
            {"finish_reason", std::move(finish)}};
  }
  std::string chunk(const std::vector<Choice>& choices, size_t index, const std::string& text,
                    const CompletionLogprobs& lists, Json finish, size_t num_new) const {
    Json json = head();
    json["choices"] = Json::array({choice_json(index, text, lists, std::move(finish))});
    if (stream_options_.counts_each) json["usage"] = usage_json(choices, num_new);
    return "data: " + dump_json(json) + "\n\n";
  }

  const Tokenizer& tokenizer_;
  std::string model_, id_ = random_id("cmpl-");
  std::time_t created_ = std::time(nullptr);
  std::vector<Echo> echoes_;                  // per prompt; empty = no echo
  std::vector<CompletionLogprobs> logprobs_;  // of a stream: the offsets
  StreamOptions stream_options_;
  bool wants_logprobs_;
};

}  // namespace

std::unique_ptr<Responder> completions(ApiServer& server, const Call& call) {
  CompletionRequest r = read_request(server, call);
  std::shared_ptr<const TokenGrammar> grammar =
      r.grammar ? compile_grammar(server.grammars(), *r.grammar) : nullptr;
  std::vector<Choice> choices;
  for (size_t p = 0; p < r.prompts.size(); ++p)
    for (int32_t i = 0; i < r.n; ++i) {
      GenerationConfig config = r.generation;
      if (grammar) config.mask = grammar->start();
      if (config.seed) *config.seed += static_cast<uint64_t>(i);
      choices.push_back(server.submit(r.prompts[p], config, {"", call.owner}, false, "prompt"));
      choices.back().prompt = p;
    }
  std::vector<Echo> echoes;
  if (r.echo)
    for (const auto& ids : r.prompts) {
      Echo echo{repair_utf8(server.pipeline().tokenizer().decode(ids)), {}};
      if (r.generation.logprobs >= 0)
        echo.tokens = prompt_logprobs(server.pipeline(), ids, r.generation.logprobs);
      echoes.push_back(std::move(echo));
    }
  auto format = std::make_unique<CompletionFormatter>(server, r, std::move(echoes));
  return respond_with_answers(std::move(choices), std::move(format), r.streams, server.metrics());
}

}  // namespace turgo
