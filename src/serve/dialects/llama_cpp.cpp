// llama.cpp's and vLLM's conventions about a model: GET /props, /tokenizer_info, POST /apply-template,
// /infill.
#include "core/json.h"
#include "serve/dialects/dialects.h"
#include "serve/dialects/translated.h"
#include "serve/openai/chat_messages.h"
#include "serve/openai/fill_in_middle.h"

namespace turgo {
namespace {

Json token_text(Pipeline& pipeline, int32_t id) {
  return id >= 0 ? Json(pipeline.tokenizer().id_to_token(id)) : Json("");
}

std::unique_ptr<Responder> props_route(ApiServer& server, const Call&) {
  Pipeline& pipeline = server.pipeline();
  const ModelInfo& info = pipeline.info();
  return respond_json(
      {{"default_generation_settings", {{"n_ctx", pipeline.session_len()}, {"params", Json::object()}}},
       {"total_slots", pipeline.engine().config().max_batch_size},
       {"model_alias", server.config().model_name},
       {"model_path", server.config().model_name},
       {"modalities", {{"vision", false}, {"audio", false}}},
       {"has_chat_template", pipeline.has_chat_template()},
       {"chat_template", pipeline.chat_template_source()},
       {"bos_token", token_text(pipeline, pipeline.tokenizer().bos_id())},
       {"eos_token", token_text(pipeline, pipeline.tokenizer().eos_id())},
       {"can_infill", FillInMiddle::find(pipeline.tokenizer()).has_value()},
       {"build_info", "turgo " TURGO_VERSION},
       {"precision", info.precision},
       {"kv_type", info.kv_type},
       {"weight_bytes", info.weight_bytes}});
}

std::unique_ptr<Responder> tokenizer_info_route(ApiServer& server, const Call&) {
  const Tokenizer& tokenizer = server.pipeline().tokenizer();
  auto word = [&](int32_t id) { return id >= 0 ? Json(tokenizer.id_to_token(id)) : Json(); };
  return respond_json(
      {{"tokenizer_class", "turgo"},
       {"vocab_size", server.pipeline().vocab_size()},
       {"model_max_length", server.pipeline().session_len()},
       {"bos_token", word(tokenizer.bos_id())},
       {"bos_token_id", tokenizer.bos_id() >= 0 ? Json(tokenizer.bos_id()) : Json()},
       {"eos_token", word(tokenizer.eos_id())},
       {"eos_token_id", tokenizer.eos_id() >= 0 ? Json(tokenizer.eos_id()) : Json()},
       {"add_bos_token", tokenizer.add_bos()},
       {"chat_template",
        server.pipeline().has_chat_template() ? Json(server.pipeline().chat_template_source()) : Json()}});
}

// The conversation in the model's template, as text.
std::unique_ptr<Responder> apply_template_route(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  server.check_model(f);
  ChatTemplateOptions options;
  const Json* messages = f.need("messages", "a list of {role, content}", messages_schema);
  options.kwargs = f.take("chat_template_kwargs", [] { return Json{{"type", "object"}}; });
  f.flag("add_generation_prompt", options.add_generation_prompt);
  ToolRequest tools = take_tools(f);
  f.finish();
  if (options.kwargs && !options.kwargs->is_object())
    bad_field("chat_template_kwargs", "expected an object, got {}", shown(*options.kwargs));
  if (tools.is_active()) options.tools = &tools.tools;
  std::vector<int32_t> ids = server.pipeline().chat_tokens(read_messages(*messages), options);
  return respond_json({{"prompt", server.pipeline().tokenizer().decode(ids, false)}});
}

// llama.cpp's answer: content and why it ended.
class InfillDialect : public Dialect {
 public:
  std::string chunk(const Json& chunk) override {
    const Json& choice = first_choice(chunk);
    if (std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
    if (const Json& usage = member(chunk, "usage"); usage.is_object()) usage_ = usage;
    std::string text = text_of(choice, "text");
    return text.empty() ? "" : "data: " + dump_json({{"content", text}, {"stop", false}}) + "\n\n";
  }
  std::string end() override { return "data: " + dump_json(last("")) + "\n\n"; }
  std::string failure(const Json& error) override { return "data: " + error_body(500, error) + "\n\n"; }
  std::string whole(const Json& completion) override {
    usage_ = member(completion, "usage");
    finish_ = text_of(first_choice(completion), "finish_reason");
    return dump_json(last(text_of(first_choice(completion), "text")));
  }
  std::string error_body(int, const Json& error) override { return dump_json({{"error", error}}); }

 private:
  Json last(const std::string& text) const {
    return {{"content", text},
            {"stop", true},
            {"stop_type", finish_ == "length" ? "limit" : "eos"},
            {"tokens_predicted", number_of(usage_, "completion_tokens")},
            {"tokens_evaluated", number_of(usage_, "prompt_tokens")}};
  }
  std::string finish_;
  Json usage_;
};

std::unique_ptr<Responder> infill_route(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body), openai = Json::object();
  Fields f(body, call.schema);
  std::string prefix, suffix, prompt;
  bool streams = false;
  server.check_model(f);
  f.text("input_prefix", prefix);
  f.text("input_suffix", suffix);
  f.text("prompt", prompt);
  f.flag("stream", streams);
  f.refuse("input_extra", Json::array(), "is not built yet");
  int32_t num_predict = -1;
  f.integer("n_predict", num_predict, -1, INT32_MAX);
  for (const char* name : {"temperature", "top_k", "top_p", "min_p", "seed", "stop"})
    if (const Json* value = f.take(name)) openai[name] = *value;
  f.refuse("samplers", Json::array(), "their order is fixed here");
  f.harmless({"cache_prompt", "id_slot"});
  f.finish();
  openai["max_tokens"] = num_predict > 0 ? num_predict : server.pipeline().session_len();
  openai["prompt"] = prefix + prompt;
  openai["suffix"] = suffix;
  return respond_translated(server, call, completions, std::move(openai), std::make_unique<InfillDialect>(),
                            streams);
}

}  // namespace

void add_llama_cpp_routes(ApiServer& server) {
  auto get = [&server](const char* path, std::unique_ptr<Responder> (*route)(ApiServer&, const Call&),
                       const char* summary) {
    server.routes().add("GET", path, [&server, route](const Call& call) { return route(server, call); },
                        {false, true, summary});
  };
  get("/props", props_route, "What the server runs with (llama.cpp)");
  get("/tokenizer_info", tokenizer_info_route, "The tokenizer's special tokens (vLLM)");
  server.post("/apply-template", apply_template_route, "A conversation as the model's prompt (llama.cpp)",
              "Prompt");
  server.post("/infill", infill_route, "Fill in between two texts (llama.cpp)", "Infilled",
              "text/event-stream");
}

}  // namespace turgo
