// POST /v1/chat/completions (https://platform.openai.com/docs/api-reference/chat) with vLLM's and LMDeploy's
// further fields.
#include <ctime>
#include <span>

#include "serve/api_server.h"
#include "serve/grammar/response_format.h"
#include "serve/openai/chat_messages.h"
#include "serve/openai/token_json.h"
#include "serve/openai/usage.h"

namespace turgo {
namespace {

struct ChatRequest {
  GenerationConfig generation;
  Json messages;
  Json kwargs = Json::object();
  bool streams = false, wants_usage = false, wants_logprobs = false, adds_prompt = true;
  int32_t n = 1;
  std::optional<AskedGrammar> grammar;
  ToolRequest tools;
};

// How much a model thinks, where its template can say so.
void take_effort(Fields& f, const std::string& chat_template, Json& kwargs) {
  std::string effort;
  f.text("reasoning_effort", effort);
  if (effort.empty() || (effort == "none" && !detect_thinking(chat_template))) return;
  if (chat_template.find("reasoning_effort") != std::string::npos)
    kwargs["reasoning_effort"] = effort;
  else if (effort == "none" && chat_template.find("enable_thinking") != std::string::npos)
    kwargs["enable_thinking"] = false;
  else if (effort == "none" || !detect_thinking(chat_template))
    bad_field("reasoning_effort", "the model's template does not know it");
}

ChatRequest read_request(ApiServer& server, const Json& body) {
  Fields f(body);
  ChatRequest r;
  r.generation.temperature = 0.7f;  // LMDeploy 0.3.0's defaults of this route
  r.generation.top_p = 1;
  server.check_model(f);
  r.messages = read_messages(f.take("messages"));
  f.flag("stream", r.streams);
  if (const Json* options = f.take("stream_options")) {
    Fields o(*options, "stream_options.");
    o.flag("include_usage", r.wants_usage);
    o.harmless({"include_obfuscation", "continuous_usage_stats"});
    o.finish();
  }
  f.integer("n", r.n, 1, 128);
  r.generation.max_new_tokens = INT32_MAX;
  f.integer("max_tokens", r.generation.max_new_tokens, 1, INT32_MAX);
  f.integer("max_completion_tokens", r.generation.max_new_tokens, 1, INT32_MAX);
  f.flag("logprobs", r.wants_logprobs);
  int32_t top = 0;
  f.integer("top_logprobs", top, 0, 20);
  if (top > 0 && !r.wants_logprobs) bad_field("top_logprobs", "needs logprobs: true");
  if (r.wants_logprobs) r.generation.logprobs = top;
  take_sampling(f, r.generation, server.pipeline().vocab_size());
  if (const Json* kwargs = f.take("chat_template_kwargs")) {
    if (!kwargs->is_object()) bad_field("chat_template_kwargs", "expected an object, got {}", shown(*kwargs));
    r.kwargs = *kwargs;
  }
  f.flag("add_generation_prompt", r.adds_prompt);
  r.grammar = take_grammar(f);
  if (r.grammar && r.generation.ignore_eos) bad_field("ignore_eos", "does not go with {}", r.grammar->field);
  r.tools = take_tools(f);
  if (r.grammar && r.tools.must_call())
    bad_field(r.grammar->field, "does not go with a tool_choice that asks for a call");
  if (r.tools.must_call() && r.generation.ignore_eos) bad_field("ignore_eos", "does not go with tool_choice");
  f.refuse("functions", Json::array(), "is OpenAI's older form; expected tools");
  f.refuse("function_call", "none", "is OpenAI's older form; expected tools");
  f.refuse("modalities", Json::array({"text"}), "text is what comes out");
  f.refuse("audio", nullptr, "audio is not built yet");
  f.refuse("best_of", 1, "is not built yet");
  take_effort(f, server.pipeline().chat_template_source(), r.kwargs);
  f.refuse("verbosity", "medium", "is not built yet");
  f.refuse("adapter_name", "", "adapters are not built yet");
  // They change nothing that this server does.
  f.harmless({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
              "prediction", "session_id", "prompt_cache_retention"});
  f.finish();
  return r;
}

class ChatFormatter : public AnswerFormat {
 public:
  ChatFormatter(ApiServer& server, const ChatRequest& r, bool starts_thinking)
      : tokenizer_(server.pipeline().tokenizer()),
        model_(server.config().model_name),
        wants_usage_(r.wants_usage),
        wants_logprobs_(r.wants_logprobs),
        tools_(r.tools) {
    const std::string& source = server.pipeline().chat_template_source();
    options_ = {answer_format(r, source), detect_thinking(source), starts_thinking, parameter_type,
                &tools_.tools};
    for (int32_t i = 0; i < r.n; ++i) deltas_.emplace_back(options_, tools_.is_parallel);
  }

  std::string begin(const std::vector<Choice>& choices) override {
    std::string out;
    for (size_t i = 0; i < choices.size(); ++i)
      out += chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    return out;
  }

  std::string piece(const std::vector<Choice>&, size_t index, const TextEvent& event) override {
    std::string out;
    ChatDeltas& deltas = deltas_[index];
    bool ends = event.finish != FinishReason::kNone;
    std::vector<Json> list = deltas.add(event.text);
    if (ends)
      for (Json& delta : deltas.finish()) list.push_back(std::move(delta));
    if (list.empty() && wants_logprobs_ && !event.tokens.empty()) list.push_back({{"content", ""}});
    for (size_t i = 0; i < list.size(); ++i)
      out += chunk(index, std::move(list[i]), i == 0 ? logprobs(event.tokens) : Json(nullptr), nullptr);
    if (ends) out += chunk(index, Json::object(), nullptr, finish_of(event.finish, deltas.num_calls() > 0));
    return out;
  }

  std::string end(const std::vector<Choice>& choices) override {
    std::string out;
    if (wants_usage_) {
      Json json = head("chat.completion.chunk");
      json["choices"] = Json::array();
      json["usage"] = usage_json(choices);
      out = "data: " + dump_json(json) + "\n\n";
    }
    return out + "data: [DONE]\n\n";
  }

  std::string whole(const std::vector<Choice>& choices) override {
    Json json = head("chat.completion");
    json["choices"] = Json::array();
    for (size_t i = 0; i < choices.size(); ++i) {
      Json message = chat_message(options_, tools_.is_parallel, choices[i].text);
      Json finish = finish_of(choices[i].finish, message.contains("tool_calls"));
      json["choices"].push_back({{"index", i},
                                 {"message", std::move(message)},
                                 {"logprobs", logprobs(choices[i].tokens)},
                                 {"finish_reason", std::move(finish)}});
    }
    json["usage"] = usage_json(choices);
    return dump_json(json);
  }

 private:
  // Calls are looked for in the form that the template asked for; in Hermes' where it could not ask, or where
  // a grammar makes sure of it.
  static const ToolFormat* answer_format(const ChatRequest& r, const std::string& source) {
    const ToolFormat* own = detect_tool_format(source);
    bool needs_own = own && own->body == ToolFormat::Body::kHarmony;
    if (!r.tools.is_active()) return needs_own ? own : nullptr;
    return own && !r.tools.must_call() ? own : find_tool_format("hermes");
  }
  static Json finish_of(FinishReason reason, bool has_calls) {
    return has_calls && reason == FinishReason::kStop ? "tool_calls" : openai_finish(reason);
  }
  Json head(const char* object) const {
    return {{"id", id_}, {"object", object}, {"created", created_}, {"model", model_}};
  }
  Json logprobs(const std::vector<OutputToken>& tokens) const {
    if (!wants_logprobs_) return nullptr;
    Json content = Json::array();
    for (const OutputToken& token : tokens) content.push_back(chat_logprob(tokenizer_, token));
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }
  std::string chunk(size_t index, Json delta, Json logprobs, Json finish) const {
    Json json = head("chat.completion.chunk");
    json["choices"] = Json::array({{{"index", index},
                                    {"delta", std::move(delta)},
                                    {"logprobs", std::move(logprobs)},
                                    {"finish_reason", std::move(finish)}}});
    if (wants_usage_) json["usage"] = nullptr;
    return "data: " + dump_json(json) + "\n\n";
  }

  const Tokenizer& tokenizer_;
  std::string model_, id_ = random_id("chatcmpl-");
  std::time_t created_ = std::time(nullptr);
  bool wants_usage_, wants_logprobs_;
  ToolRequest tools_;
  AnswerParser::Options options_;  // points into tools_
  std::vector<ChatDeltas> deltas_;
};

// Whether the prompt ends inside of the model's thoughts.
bool ends_in_thought(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  size_t begin = ids.size() - std::min<size_t>(ids.size(), 8);
  std::string tail = tokenizer.decode(std::span(ids).subspan(begin), false);
  size_t end = tail.find_last_not_of(" \n");
  return end != tail.npos && std::string_view(tail).substr(0, end + 1).ends_with("<think>");
}

}  // namespace

std::unique_ptr<Responder> chat_completions(ApiServer& server, const Call& call) {
  ChatRequest r = read_request(server, parse_body(call.request.body));
  ChatTemplateOptions options;
  options.kwargs = &r.kwargs;
  options.add_generation_prompt = r.adds_prompt;
  const std::string& source = server.pipeline().chat_template_source();
  if (template_knows_tools(source))
    options.tools = r.tools.is_active() ? &r.tools.tools : nullptr;
  else
    r.messages = tell_about_tools(r.messages, r.tools);
  std::vector<int32_t> ids = server.pipeline().chat_tokens(r.messages, options);
  std::shared_ptr<const TokenGrammar> grammar;
  const ToolFormat* own = detect_tool_format(source);
  if (r.grammar)
    grammar = compile_grammar(server.grammars(), *r.grammar);
  else if (r.tools.must_call() ||
           (r.tools.is_active() && (!own || own->name == "hermes") && !r.generation.ignore_eos))
    grammar = compile_tools(server.grammars(), r.tools);
  // Markers may be control tokens, which the text is without otherwise.
  if (own && (r.tools.is_active() || own->body == ToolFormat::Body::kHarmony))
    r.generation.skip_special_tokens = false;
  bool starts_thinking = detect_thinking(source) && ends_in_thought(server.pipeline().tokenizer(), ids);
  std::vector<Choice> choices;
  for (int32_t i = 0; i < r.n; ++i) {
    GenerationConfig config = r.generation;
    if (grammar) config.mask = grammar->start();
    if (config.seed) *config.seed += static_cast<uint64_t>(i);
    choices.push_back(server.submit(ids, config, {"", call.owner}, true, "messages"));
  }
  auto format = std::make_unique<ChatFormatter>(server, r, starts_thinking);
  return respond_with_answers(std::move(choices), std::move(format), r.streams, server.metrics());
}

}  // namespace turgo
