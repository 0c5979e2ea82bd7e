// Tokens in and out: LMDeploy's /v1/encode and /generate, vLLM's and llama.cpp's /tokenize and /detokenize.
#include "serve/api_server.h"
#include "serve/openai/chat_messages.h"
#include "text/utf8.h"

namespace turgo {
namespace {

class GenerateFormatter : public AnswerFormat {
 public:
  explicit GenerateFormatter(bool wants_logprobs) : wants_logprobs_(wants_logprobs) {}

  std::string piece(const std::vector<Choice>& choices, size_t index, const TextEvent& event) override {
    num_tokens_ += event.tokens.size();
    return "data: " + dump_json(to_json(choices[index], event.text, event.tokens, event.finish)) + "\n\n";
  }
  std::string end(const std::vector<Choice>&) override { return "data: [DONE]\n\n"; }
  std::string whole(const std::vector<Choice>& choices) override {
    num_tokens_ = choices[0].tokens.size();
    return dump_json(to_json(choices[0], choices[0].text, choices[0].tokens, choices[0].finish));
  }

 private:
  Json to_json(const Choice& choice, const std::string& text, const std::vector<OutputToken>& tokens,
               FinishReason finish) const {
    Json ids = Json::array(), logprobs = Json::array();
    for (const OutputToken& token : tokens) {
      ids.push_back(token.token_id);
      logprobs.push_back(Json::array({std::max(token.logprob, -9999.0f), token.token_id}));
    }
    Json reason = nullptr;
    if (finish != FinishReason::kNone) reason = {{"type", openai_finish(finish)}};
    return {{"text", text},
            {"output_ids", std::move(ids)},
            {"meta_info",
             {{"finish_reason", std::move(reason)},
              {"output_token_logprobs", wants_logprobs_ ? std::move(logprobs) : Json(nullptr)},
              {"prompt_tokens", choice.stream.num_input_tokens()},
              {"completion_tokens", num_tokens_}}}};
  }
  bool wants_logprobs_;
  size_t num_tokens_ = 0;
};

}  // namespace

std::unique_ptr<Responder> generate_route(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  GenerationConfig config;
  config.temperature = 1;
  config.top_p = 1;
  config.top_k = 0;
  config.max_new_tokens = 128;
  std::string prompt;
  std::vector<int32_t> ids;
  bool streams = false, wants_logprobs = false;
  server.check_model(f);
  f.text("prompt", prompt);
  f.ids("input_ids", ids);
  f.flag("stream", streams);
  f.flag("return_logprob", wants_logprobs);
  f.integer("max_tokens", config.max_new_tokens, 1, INT32_MAX);
  f.refuse("image_data", nullptr, "images are not built yet");
  f.harmless({"session_id"});
  take_sampling(f, config, server.vocab_size());
  f.need_one_of({"prompt", "input_ids"});
  f.finish();
  if (ids.empty() == prompt.empty()) bad_field("prompt", "expected either prompt or input_ids");
  if (wants_logprobs) config.logprobs = 0;
  if (ids.empty()) ids = server.pipeline().prompt_tokens({Segment::from_text(prompt)});
  std::vector<Choice> choices;
  choices.push_back(server.submit(std::move(ids), config, {"", call.owner}, false, "input_ids"));
  return respond_with_answers(std::move(choices), std::make_unique<GenerateFormatter>(wants_logprobs),
                              streams, server.metrics());
}

std::unique_ptr<Responder> encode_route(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  std::vector<std::string> inputs;
  bool do_preprocess = false, add_bos = true;
  server.check_model(f);
  const Json* input = f.need("input", "a text or a list of texts");
  f.texts("input", inputs);
  f.flag("do_preprocess", do_preprocess);
  f.flag("add_bos", add_bos);
  f.finish();
  const Tokenizer& tokenizer = server.pipeline().tokenizer();
  Json lists = Json::array(), lengths = Json::array();
  for (const std::string& text : inputs) {
    std::vector<int32_t> ids = do_preprocess
                                   ? server.pipeline().chat_tokens({Message::from_text("user", text)})
                                   : tokenizer.encode(text, true);
    if (add_bos && !do_preprocess && tokenizer.bos_id() >= 0) ids.insert(ids.begin(), tokenizer.bos_id());
    lengths.push_back(ids.size());
    lists.push_back(std::move(ids));
  }
  if (input->is_string()) return respond_json({{"input_ids", lists[0]}, {"length", lengths[0]}});
  return respond_json({{"input_ids", lists}, {"length", lengths}});
}

std::unique_ptr<Responder> tokenize_route(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  std::string text;
  bool add_special = true, parse_special = true, generation = true, wants_strings = false;
  const Json* content = f.take("content");
  const Json* messages = f.take("messages", messages_schema);
  f.text("prompt", text);
  f.text("content", text);
  if (content) add_special = false;  // llama.cpp's default
  f.flag("add_special_tokens", add_special);
  f.flag("add_special", add_special);
  f.flag("parse_special", parse_special);
  f.flag("add_generation_prompt", generation);
  f.flag("return_token_strs", wants_strings);
  server.check_model(f);
  f.need_one_of({"prompt", "content", "messages"});
  f.finish();
  Pipeline& pipeline = server.pipeline();
  std::vector<int32_t> ids;
  if (messages) {
    ChatTemplateOptions options;
    options.add_generation_prompt = generation;
    ids = pipeline.chat_tokens(read_messages(*messages), options);
  } else if (add_special && parse_special) {
    ids = pipeline.prompt_tokens({Segment::from_text(text)});
  } else {
    ids = pipeline.tokenizer().encode(text, parse_special);
  }
  Json out = {{"count", ids.size()}, {"max_model_len", pipeline.session_len()}, {"tokens", ids}};
  if (wants_strings) {
    out["token_strs"] = Json::array();
    for (int32_t id : ids) out["token_strs"].push_back(repair_utf8(pipeline.tokenizer().id_to_token(id)));
  }
  return respond_json(out);
}

std::unique_ptr<Responder> detokenize_route(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  std::vector<int32_t> ids;
  f.need("tokens", "a list of token ids");
  f.ids("tokens", ids);
  server.check_model(f);
  f.finish();
  for (int32_t id : ids)
    if (id >= server.pipeline().vocab_size())
      bad_field("tokens", "expected ids below {}, got {}", server.pipeline().vocab_size(), id);
  std::string text = repair_utf8(server.pipeline().tokenizer().decode(ids, false));
  return respond_json({{"prompt", text}, {"content", text}});
}

void add_utility_routes(ApiServer& server) {
  server.post("/generate", generate_route, "Continue a text (LMDeploy, SGLang)", "Generated",
              "text/event-stream");
  server.post("/tokenize", tokenize_route, "Text to token ids (vLLM, llama.cpp)", "Tokens");
  server.post("/detokenize", detokenize_route, "Token ids to text (vLLM, llama.cpp)", "Text");
}

}  // namespace turgo
