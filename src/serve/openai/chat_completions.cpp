// POST /v1/chat/completions (https://platform.openai.com/docs/api-reference/chat) with vLLM's and LMDeploy's
// further fields.
#include <ctime>

#include "serve/api_server.h"
#include "serve/grammar/response_format.h"
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
};

// Text of a message's content: a string, or parts of type text. What templates see is a string.
Json content_of(const Json& content, const std::string& where) {
  if (content.is_string()) return content;
  if (!content.is_array()) bad_field(where, "expected a string or a list of parts, got {}", shown(content));
  std::string text;
  for (const Json& part : content) {
    std::string type = part.is_object() && part.contains("type") && part["type"].is_string()
                           ? part["type"].get<std::string>()
                           : "";
    if (type != "text") bad_field(where, "parts of type {} are not built yet; expected text", quote(type));
    if (!part.contains("text") || !part["text"].is_string())
      bad_field(where, "expected a part with a string 'text'");
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

Json read_messages(const Json* messages) {
  if (!messages) bad_field("messages", "is missing; expected a list of {{role, content}}");
  if (messages->is_string()) return Json::array({{{"role", "user"}, {"content", *messages}}});
  if (!messages->is_array() || messages->empty())
    bad_field("messages", "expected a list of at least one message, got {}", shown(*messages));
  Json out = Json::array();
  for (size_t i = 0; i < messages->size(); ++i) {
    std::string where = fmt::format("messages[{}]", i);
    const Json& message = (*messages)[i];
    if (!message.is_object())
      bad_field(where, "expected an object with role and content, got {}", shown(message));
    if (!message.contains("role") || !message["role"].is_string())
      bad_field(where + ".role", "expected a string");
    std::string role = message["role"].get<std::string>();
    if (role != "system" && role != "user" && role != "assistant" && role != "developer")
      bad_field(where + ".role", "expected system, developer, user or assistant, got {}", quote(role));
    if (!message.contains("content") || message["content"].is_null())
      bad_field(where + ".content", "expected a text");
    for (const auto& [key, value] : message.items())
      if (key != "role" && key != "content" && key != "name" && key != "refusal" && key != "annotations" &&
          !value.is_null() && !(value.is_array() && value.empty()))
        bad_field(where + "." + quote(key), "is not built yet");
    if (role == "developer") role = "system";
    out.push_back({{"role", role}, {"content", content_of(message["content"], where + ".content")}});
  }
  return out;
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
  f.refuse("tools", Json::array(), "tools are not built yet");
  f.refuse("tool_choice", "none", "tools are not built yet");
  f.refuse("functions", Json::array(), "functions are not built yet");
  f.refuse("function_call", "none", "functions are not built yet");
  f.refuse("modalities", Json::array({"text"}), "text is what comes out");
  f.refuse("audio", nullptr, "audio is not built yet");
  f.refuse("best_of", 1, "is not built yet");
  f.refuse("reasoning_effort", "none", "is not built yet");
  f.refuse("verbosity", "medium", "is not built yet");
  f.refuse("adapter_name", "", "adapters are not built yet");
  // They change nothing that this server does.
  f.harmless({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
              "parallel_tool_calls", "prediction", "session_id", "prompt_cache_retention"});
  f.finish();
  return r;
}

class ChatFormatter : public AnswerFormat {
 public:
  ChatFormatter(ApiServer& server, bool wants_usage, bool wants_logprobs)
      : tokenizer_(server.pipeline().tokenizer()),
        model_(server.config().model_name),
        wants_usage_(wants_usage),
        wants_logprobs_(wants_logprobs) {}

  std::string begin(const std::vector<Choice>& choices) override {
    std::string out;
    for (size_t i = 0; i < choices.size(); ++i)
      out += chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr);
    return out;
  }

  std::string piece(const std::vector<Choice>&, size_t index, const TextEvent& event) override {
    std::string out;
    if (!event.text.empty() || (wants_logprobs_ && !event.tokens.empty()))
      out += chunk(index, {{"content", event.text}}, logprobs(event.tokens), nullptr);
    if (event.finish != FinishReason::kNone)
      out += chunk(index, Json::object(), nullptr, openai_finish(event.finish));
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
    for (size_t i = 0; i < choices.size(); ++i)
      json["choices"].push_back(
          {{"index", i},
           {"message", {{"role", "assistant"}, {"content", choices[i].text}, {"refusal", nullptr}}},
           {"logprobs", logprobs(choices[i].tokens)},
           {"finish_reason", openai_finish(choices[i].finish)}});
    json["usage"] = usage_json(choices);
    return dump_json(json);
  }

 private:
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
};

}  // namespace

std::unique_ptr<Responder> chat_completions(ApiServer& server, const Call& call) {
  ChatRequest r = read_request(server, parse_body(call.request.body));
  ChatTemplateOptions options;
  options.kwargs = &r.kwargs;
  options.add_generation_prompt = r.adds_prompt;
  std::vector<int32_t> ids = server.pipeline().chat_tokens(r.messages, options);
  std::shared_ptr<const TokenGrammar> grammar =
      r.grammar ? compile_grammar(server.grammars(), *r.grammar) : nullptr;
  std::vector<Choice> choices;
  for (int32_t i = 0; i < r.n; ++i) {
    GenerationConfig config = r.generation;
    if (grammar) config.mask = grammar->start();
    if (config.seed) *config.seed += static_cast<uint64_t>(i);
    choices.push_back(server.submit(ids, config, {"", call.owner}, true, "messages"));
  }
  auto format = std::make_unique<ChatFormatter>(server, r.wants_usage, r.wants_logprobs);
  return respond_with_answers(std::move(choices), std::move(format), r.streams, server.metrics());
}

}  // namespace turgo
