// POST /v1/chat/completions (https://platform.openai.com/docs/api-reference/chat) with vLLM's and LMDeploy's
// further fields.
#include <ctime>
#include <span>

#include "serve/api_server.h"
#include "serve/grammar/response_format.h"
#include "serve/openai/chat_messages.h"
#include "serve/openai/token_json.h"
#include "serve/openai/usage.h"
#include "serve/tools/thinking_gate.h"

namespace turgo {
namespace {

struct ChatRequest {
  GenerationConfig generation;
  Json messages;
  Json kwargs = Json::object();
  StreamOptions stream_options;
  bool streams = false, wants_logprobs = false, adds_prompt = true, continues = false;
  int32_t n = 1, thinking_budget = -1;
  std::string effort;
  std::optional<AskedGrammar> grammar;
  ToolRequest tools;
};

// How much a model thinks, where its template can say so.
void apply_effort(const std::string& effort, const std::string& chat_template, Json& kwargs) {
  if (effort.empty() || (effort == "none" && !detect_thinking(chat_template))) return;
  if (chat_template.find("reasoning_effort") != std::string::npos)
    kwargs["reasoning_effort"] = effort;
  else if (effort == "none" && chat_template.find("enable_thinking") != std::string::npos)
    kwargs["enable_thinking"] = false;
  else if (effort == "none" || !detect_thinking(chat_template))
    bad_field("reasoning_effort", "the model's template does not know it");
}

ChatRequest read_request(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  ChatRequest r;
  r.generation.temperature = 0.7f;  // LMDeploy 0.3.0's defaults of this route
  r.generation.top_p = 1;
  server.check_model(f);
  const Json* messages = f.need("messages", "a list of {role, content}", messages_schema);
  f.flag("stream", r.streams);
  take_stream_options(f, r.stream_options);
  f.integer("n", r.n, 1, 128);
  r.generation.max_new_tokens = INT32_MAX;
  f.integer("max_tokens", r.generation.max_new_tokens, 1, INT32_MAX);
  f.integer("max_completion_tokens", r.generation.max_new_tokens, 1, INT32_MAX);
  f.flag("logprobs", r.wants_logprobs);
  int32_t top = 0;
  f.integer("top_logprobs", top, 0, 20);
  take_sampling(f, r.generation, server.vocab_size());
  const Json* kwargs = f.take("chat_template_kwargs", [] { return Json{{"type", "object"}}; });
  f.flag("add_generation_prompt", r.adds_prompt);
  f.flag("continue_final_message", r.continues);
  r.grammar = take_grammar(f);
  r.tools = take_tools(f);
  f.refuse("functions", Json::array(), "is OpenAI's older form; expected tools");
  f.refuse("function_call", "none", "is OpenAI's older form; expected tools");
  f.refuse("modalities", Json::array({"text"}), "text is what comes out");
  f.refuse("audio", nullptr, "audio is not built yet");
  f.refuse("best_of", 1, "is not built yet");
  f.choice("reasoning_effort", r.effort, {"none", "minimal", "low", "medium", "high", "xhigh"});
  // An upper limit: a model that does not think keeps every one.
  f.integer("thinking_token_budget", r.thinking_budget, -1, INT32_MAX);
  f.refuse("verbosity", "medium", "is not built yet");
  f.refuse("adapter_name", "", "adapters are not built yet");
  // They change nothing that this server does.
  f.harmless({"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key",
              "prediction", "session_id", "prompt_cache_retention"});
  f.finish();
  r.messages = read_messages(*messages);
  if (top > 0 && !r.wants_logprobs) bad_field("top_logprobs", "needs logprobs: true");
  if (r.wants_logprobs) r.generation.logprobs = top;
  if (kwargs && !kwargs->is_object())
    bad_field("chat_template_kwargs", "expected an object, got {}", shown(*kwargs));
  if (kwargs) r.kwargs = *kwargs;
  apply_effort(r.effort, server.pipeline().chat_template_source(), r.kwargs);
  if (r.grammar && r.generation.ignore_eos) bad_field("ignore_eos", "does not go with {}", r.grammar->field);
  if (r.grammar && r.tools.must_call())
    bad_field(r.grammar->field, "does not go with a tool_choice that asks for a call");
  if (r.tools.must_call() && r.generation.ignore_eos) bad_field("ignore_eos", "does not go with tool_choice");
  const Json& last = r.messages.back();
  if (r.continues && (last["role"] != "assistant" || last.contains("tool_calls")))
    bad_field("continue_final_message", "the last message is not a text of the assistant");
  if (r.continues && body.value("add_generation_prompt", Json()) == true)
    bad_field("continue_final_message", "does not go with add_generation_prompt");
  return r;
}

class ChatFormatter : public AnswerFormat {
 public:
  ChatFormatter(ApiServer& server, const ChatRequest& r, bool starts_thinking)
      : tokenizer_(server.pipeline().tokenizer()),
        model_(server.config().model_name),
        stream_options_(r.stream_options),
        wants_logprobs_(r.wants_logprobs),
        tools_(r.tools) {
    options_ = {answer_format(r, server.tool_format()), server.thinks(), starts_thinking, parameter_type,
                &tools_.tools};
    for (int32_t i = 0; i < r.n; ++i) deltas_.emplace_back(options_, tools_.is_parallel);
    thoughts_.resize(deltas_.size());
  }

  std::string begin(const std::vector<Choice>& choices) override {
    std::string out;
    for (size_t i = 0; i < choices.size(); ++i)
      out += chunk(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr, count(choices, 0));
    return out;
  }

  std::string piece(const std::vector<Choice>& choices, size_t index, const TextEvent& event) override {
    std::string out;
    ChatDeltas& deltas = deltas_[index];
    bool ends = event.finish != FinishReason::kNone;
    std::vector<Json> list = deltas.add(event.text);
    if (ends)
      for (Json& delta : deltas.finish()) list.push_back(std::move(delta));
    if (list.empty() && wants_logprobs_ && !event.tokens.empty()) list.push_back({{"content", ""}});
    for (const Json& delta : list) thoughts_[index] += delta.value("reasoning_content", "");
    Json usage = count(choices, event.tokens.size());
    for (size_t i = 0; i < list.size(); ++i)
      out +=
          chunk(index, std::move(list[i]), i == 0 ? logprobs(event.tokens) : Json(nullptr), nullptr, usage);
    if (ends)
      out += chunk(index, Json::object(), nullptr, finish_of(event.finish, deltas.num_calls() > 0), usage);
    return out;
  }

  std::string end(const std::vector<Choice>& choices) override {
    std::string out;
    if (stream_options_.has_usage) {
      Json json = head("chat.completion.chunk");
      json["choices"] = Json::array();
      json["usage"] = whole_count(choices);
      out = "data: " + dump_json(json) + "\n\n";
    }
    return out + "data: [DONE]\n\n";
  }

  std::string whole(const std::vector<Choice>& choices) override {
    Json json = head("chat.completion");
    json["choices"] = Json::array();
    for (size_t i = 0; i < choices.size(); ++i) {
      Json message = chat_message(options_, tools_.is_parallel, choices[i].text);
      thoughts_[i] = message.value("reasoning_content", "");
      Json finish = finish_of(choices[i].finish, message.contains("tool_calls"));
      json["choices"].push_back({{"index", i},
                                 {"message", std::move(message)},
                                 {"logprobs", logprobs(choices[i].tokens)},
                                 {"finish_reason", std::move(finish)}});
    }
    json["usage"] = whole_count(choices);
    return dump_json(json);
  }

 private:
  // Calls are looked for in the form that the template asked for; in Hermes' where it could not ask, or where
  // a grammar makes sure of it.
  static const ToolFormat* answer_format(const ChatRequest& r, const ToolFormat* own) {
    bool needs_own = own && own->body == ToolFormat::Body::kHarmony;
    if (!r.tools.is_active()) return needs_own ? own : nullptr;
    return own && (own->can_hold() || !r.tools.must_call()) ? own : find_tool_format("hermes");
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
  // With what was thought: as many tokens as that text has, for an event may hold both sides of the end.
  Json whole_count(const std::vector<Choice>& choices) const {
    size_t num_thought = 0;
    for (const std::string& text : thoughts_) num_thought += tokenizer_.encode(text).size();
    Json usage = usage_json(choices);
    usage["completion_tokens_details"] = {{"reasoning_tokens", num_thought}};
    return usage;
  }
  Json count(const std::vector<Choice>& choices, size_t num_new) const {
    return stream_options_.counts_each ? usage_json(choices, num_new) : Json(nullptr);
  }
  std::string chunk(size_t index, Json delta, Json logprobs, Json finish, const Json& usage) const {
    Json json = head("chat.completion.chunk");
    json["choices"] = Json::array({{{"index", index},
                                    {"delta", std::move(delta)},
                                    {"logprobs", std::move(logprobs)},
                                    {"finish_reason", std::move(finish)}}});
    if (stream_options_.has_usage) json["usage"] = usage;
    return "data: " + dump_json(json) + "\n\n";
  }

  const Tokenizer& tokenizer_;
  std::string model_, id_ = random_id("chatcmpl-");
  std::time_t created_ = std::time(nullptr);
  StreamOptions stream_options_;
  bool wants_logprobs_;
  ToolRequest tools_;
  AnswerParser::Options options_;  // points into tools_
  std::vector<ChatDeltas> deltas_;
  std::vector<std::string> thoughts_;  // per choice
};

// The conversation's tokens. What is continued of the last message stands behind the opening of its turn.
std::vector<int32_t> prompt_of(Pipeline& pipeline, const ChatRequest& r) {
  ChatTemplateOptions options;
  options.kwargs = &r.kwargs;
  options.add_generation_prompt = r.adds_prompt;
  bool knows_tools = template_knows_tools(pipeline.chat_template_source());
  if (knows_tools && r.tools.is_active()) options.tools = &r.tools.tools;
  Json before = knows_tools ? r.messages : tell_about_tools(r.messages, r.tools);
  if (!r.continues) return pipeline.chat_tokens(before, options);
  std::string text = before.back()["content"];
  before.erase(before.size() - 1);
  if (before.empty()) bad_field("messages", "expected a message in front of the one that is continued");
  options.add_generation_prompt = true;
  std::vector<int32_t> ids = pipeline.chat_tokens(before, options);
  for (int32_t id : pipeline.tokenizer().encode(text)) ids.push_back(id);
  return ids;
}

// Whether the prompt ends inside of the model's thoughts.
bool ends_in_thought(const Tokenizer& tokenizer, const std::vector<int32_t>& ids) {
  size_t begin = ids.size() - std::min<size_t>(ids.size(), 8);
  std::string tail = tokenizer.decode(std::span(ids).subspan(begin), false);
  size_t end = tail.find_last_not_of(" \n");
  return end != tail.npos && std::string_view(tail).substr(0, end + 1).ends_with("<think>");
}

}  // namespace

std::vector<int32_t> chat_prompt(ApiServer& server, const Call& call) {
  return prompt_of(server.pipeline(), read_request(server, call));
}

std::unique_ptr<Responder> chat_completions(ApiServer& server, const Call& call) {
  ChatRequest r = read_request(server, call);
  std::vector<int32_t> ids = prompt_of(server.pipeline(), r);
  std::shared_ptr<const TokenGrammar> grammar;
  const ToolFormat* own = server.tool_format();
  if (r.grammar)
    grammar = compile_grammar(server.grammars(), *r.grammar);
  else if (r.tools.must_call() ||
           (r.tools.is_active() && (!own || own->can_hold()) && !r.generation.ignore_eos))
    grammar =
        compile_tools(server.grammars(), r.tools, own && own->can_hold() ? *own : *find_tool_format("hermes"),
                      server.pipeline().tokenizer());
  // Markers may be control tokens, which the text is without otherwise.
  if (own && (r.tools.is_active() || own->body == ToolFormat::Body::kHarmony))
    r.generation.skip_special_tokens = false;
  const Tokenizer& tokenizer = server.pipeline().tokenizer();
  bool starts_thinking = server.thinks() && ends_in_thought(tokenizer, ids);
  // A model that opens its thoughts itself does not think where a grammar rules from the first token.
  bool may_think = server.thinks() && !r.grammar && !r.tools.must_call();
  bool is_gated = starts_thinking || (may_think && r.thinking_budget >= 0);
  std::vector<Choice> choices;
  for (int32_t i = 0; i < r.n; ++i) {
    GenerationConfig config = r.generation;
    if (grammar) config.mask = grammar->start();
    if (is_gated && (grammar || r.thinking_budget >= 0))
      config.mask = std::make_shared<ThinkingGate>(
          ThinkingGate::Config{tokenizer, r.thinking_budget, starts_thinking}, std::move(config.mask));
    if (config.seed) *config.seed += static_cast<uint64_t>(i);
    choices.push_back(server.submit(ids, config, {"", call.owner}, true, "messages"));
  }
  auto format = std::make_unique<ChatFormatter>(server, r, starts_thinking);
  return respond_with_answers(std::move(choices), std::move(format), r.streams, server.metrics());
}

}  // namespace turgo
