// POST /api/chat, /api/generate, /api/embed (https://docs.ollama.com/api): a line of JSON per piece of
// answer. What lists and loads models (/api/tags, ps, show, pull, version) is in models/ollama_models.cpp.
#include <chrono>

#include "serve/dialects/dialects.h"
#include "serve/dialects/translated.h"
#include "serve/embeddings/embeddings.h"
#include "serve/grammar/response_format.h"
#include "serve/late_responder.h"
#include "serve/models/iso_time.h"
#include "serve/tools/tool_request.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

class OllamaDialect : public Dialect {
 public:
  OllamaDialect(std::string model, bool is_chat) : model_(std::move(model)), is_chat_(is_chat) {}

  std::string content_type() const override { return "application/x-ndjson"; }

  std::string chunk(const Json& chunk) override {
    if (const Json& usage = member(chunk, "usage"); usage.is_object()) usage_ = usage;
    const Json& choice = first_choice(chunk);
    if (std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
    const Json& delta = member(choice, "delta");
    std::string text = delta.is_object() ? text_of(delta, "content") : text_of(choice, "text");
    collect_calls(member(delta, "tool_calls"));
    std::string thinking = text_of(delta, "reasoning_content");
    if (text.empty() && thinking.empty()) return "";
    note_first();
    return dump_json(piece(text, thinking, Json::array(), false)) + "\n";
  }

  std::string end() override {
    std::string out;
    if (!calls_.empty()) out = dump_json(piece("", "", finished_calls(), false)) + "\n";
    return out + last("", "", Json::array()) + "\n";
  }

  std::string failure(const Json& error) override { return error_body(500, error) + "\n"; }

  std::string whole(const Json& completion) override {
    const Json& choice = first_choice(completion);
    const Json& message = member(choice, "message");
    finish_ = text_of(choice, "finish_reason");
    usage_ = member(completion, "usage");
    collect_calls(member(message, "tool_calls"));
    return last(message.is_object() ? text_of(message, "content") : text_of(choice, "text"),
                text_of(message, "reasoning_content"), finished_calls());
  }

  std::string error_body(int, const Json& error) override {
    return dump_json({{"error", text_of(error, "message")}});
  }

 private:
  Json piece(const std::string& text, const std::string& thinking, Json calls, bool is_done) const {
    Json out = {{"model", model_}, {"created_at", iso_time_now()}};
    if (is_chat_) {
      out["message"] = {{"role", "assistant"}, {"content", text}};
      if (!thinking.empty()) out["message"]["thinking"] = thinking;
      if (!calls.empty()) out["message"]["tool_calls"] = std::move(calls);
    } else {
      out["response"] = text;
      if (!thinking.empty()) out["thinking"] = thinking;
    }
    out["done"] = is_done;
    return out;
  }
  std::string last(const std::string& text, const std::string& thinking, Json calls) {
    Json out = piece(text, thinking, std::move(calls), true);
    auto now = Clock::now();
    note_first();
    auto nanoseconds = [](Clock::duration time) {
      return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
    };
    out["done_reason"] = finish_ == "length" ? "length" : "stop";
    out["total_duration"] = nanoseconds(now - start_);
    out["load_duration"] = 0;
    out["prompt_eval_count"] = number_of(usage_, "prompt_tokens");
    out["prompt_eval_duration"] = nanoseconds(first_ - start_);
    out["eval_count"] = number_of(usage_, "completion_tokens");
    out["eval_duration"] = nanoseconds(now - first_);
    return dump_json(out);
  }
  void note_first() {
    if (first_ == Clock::time_point{}) first_ = Clock::now();
  }
  // OpenAI streams a call's arguments as text; Ollama gives whole calls with arguments as an object.
  void collect_calls(const Json& calls) {
    if (!calls.is_array()) return;
    for (const Json& call : calls) {
      const Json& function = member(call, "function");
      if (std::string name = text_of(function, "name"); !name.empty()) calls_.push_back({name, ""});
      if (!calls_.empty()) calls_.back().second += text_of(function, "arguments");
    }
  }
  Json finished_calls() const {
    Json out = Json::array();
    for (const auto& [name, text] : calls_) {
      Json arguments = Json::parse(text, nullptr, false);
      out.push_back({{"function",
                      {{"name", name}, {"arguments", arguments.is_object() ? arguments : Json::object()}}}});
    }
    return out;
  }

  std::string model_, finish_;
  bool is_chat_;
  Clock::time_point start_ = Clock::now(), first_{};
  Json usage_;
  std::vector<std::pair<std::string, std::string>> calls_;
};

// Ollama's options under OpenAI's names. What only tells how the model is run (num_ctx, num_gpu …) belongs to
// the server here and changes no answer.
void read_options(Fields& o, Json& openai) {
  const std::pair<const char*, const char*> names[] = {{"temperature", "temperature"},
                                                       {"top_k", "top_k"},
                                                       {"top_p", "top_p"},
                                                       {"min_p", "min_p"},
                                                       {"seed", "seed"},
                                                       {"stop", "stop"},
                                                       {"repeat_penalty", "repetition_penalty"},
                                                       {"presence_penalty", "presence_penalty"},
                                                       {"frequency_penalty", "frequency_penalty"}};
  for (const auto& [theirs, ours] : names)
    if (const Json* value = o.take(theirs)) openai[ours] = *value;
  int32_t num_predict = -1;
  o.integer("num_predict", num_predict, -2, INT32_MAX);
  if (num_predict >= 0) openai["max_tokens"] = num_predict;
  o.harmless({"num_ctx", "num_batch", "num_gpu", "main_gpu", "use_mmap", "use_mlock", "num_thread",
              "num_keep", "numa", "low_vram", "vocab_only"});
}

void take_options(Fields& f, Json& openai) {
  openai["temperature"] = 0.8;
  openai["top_k"] = 40;
  openai["top_p"] = 0.9;
  f.object("options", [&](Fields& o) { read_options(o, openai); });
}

void take_format(Fields& f, Json& openai) {
  const Json* format =
      f.take("format", [] { return Json{{"anyOf", {{{"enum", {"", "json"}}}, {{"type", "object"}}}}}; });
  if (!format || *format == "") return;
  if (*format == "json")
    openai["response_format"] = {{"type", "json_object"}};
  else if (format->is_object())
    openai["response_format"] = {
        {"type", "json_schema"},
        {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", *format}}}};
  else
    bad_field("format", "expected \"json\" or a JSON schema, got {}", shown(*format));
}

// The router chose by them.
void take_model(Fields& f) {
  std::string name;
  f.text("model", name);
  f.take("keep_alive", [] { return Json{{"type", Json::array({"string", "number"})}}; });
}

void take_common(Fields& f, Json& openai, bool& streams) {
  streams = true;  // Ollama's default
  f.flag("stream", streams);
  take_model(f);
  f.refuse("logprobs", false, "is not built yet in this interface; /v1/chat/completions has it");
  f.refuse("top_logprobs", 0, "is not built yet in this interface; /v1/chat/completions has it");
  auto think_schema = [] { return Json{{"type", Json::array({"boolean", "string"})}}; };
  if (const Json* think = f.take("think", think_schema)) {
    if (!think->is_boolean() && !think->is_string())
      bad_field("think", "expected true or false, got {}", shown(*think));
    openai["chat_template_kwargs"] = {{"enable_thinking", *think != false}};
  }
  take_format(f, openai);
  take_options(f, openai);
}

Json translated_message(Fields& f) {
  std::string role, content, thinking;
  f.need("role", "system, user, assistant or tool");
  f.choice("role", role, {"system", "user", "assistant", "tool"});
  f.text("content", content);
  f.text("thinking", thinking);
  f.refuse("images", Json::array(), "images are not built yet");
  auto calls_schema = [] { return Json{{"type", "array"}, {"items", {{"type", "object"}}}}; };
  const Json* calls = f.take("tool_calls", calls_schema);
  f.harmless({"tool_name", "name", "tool_call_id"});
  f.finish();
  Json out = {{"role", role}, {"content", content}};
  if (!thinking.empty()) out["reasoning_content"] = thinking;
  if (calls && !calls->is_array()) bad_field("tool_calls", "expected a list, got {}", shown(*calls));
  if (calls && !calls->empty()) {
    out["tool_calls"] = Json::array();
    for (const Json& call : *calls) {
      const Json& function = member(call, "function");
      out["tool_calls"].push_back(
          {{"id", random_id("call_")},
           {"type", "function"},
           {"function",
            {{"name", text_of(function, "name")}, {"arguments", dump_json(member(function, "arguments"))}}}});
    }
  }
  return out;
}

Json messages_schema() {
  Json message = Fields::schema_of([](Fields& f) { translated_message(f); });
  return {{"type", "array"}, {"items", std::move(message)}};
}

// `asked`: the translated fields, which are looked at although there is nothing to answer.
std::unique_ptr<Responder> only_loads(const std::string& model, const Json& asked, bool is_chat) {
  Fields fields(asked);
  take_tools(fields);
  take_grammar(fields);
  Json out = {{"model", model}, {"created_at", iso_time_now()}};
  if (is_chat)
    out["message"] = {{"role", "assistant"}, {"content", ""}};
  else
    out["response"] = "";
  out["done"] = true;
  out["done_reason"] = "load";
  return respond_json(out);
}

std::unique_ptr<Responder> ollama_chat(ApiServer& server, const Call& call) {
  const std::string& model = server.config().model_name;
  OllamaDialect plain(model, true);
  return in_dialect(plain, [&]() -> std::unique_ptr<Responder> {
    Json body = parse_body(call.request.body), openai = Json::object();
    Fields f(body, call.schema);
    bool streams = true;
    take_common(f, openai, streams);
    const Json* messages = f.take("messages", messages_schema);
    auto tools_schema = [] { return Json{{"type", "array"}, {"items", {{"type", "object"}}}}; };
    if (const Json* tools = f.take("tools", tools_schema); tools && *tools != Json::array())
      openai["tools"] = *tools;
    f.finish();
    if (!messages || (messages->is_array() && messages->empty())) return only_loads(model, openai, true);
    if (!messages->is_array()) bad_field("messages", "expected a list, got {}", shown(*messages));
    openai["messages"] = Json::array();
    for (size_t i = 0; i < messages->size(); ++i) {
      Fields message((*messages)[i], fmt::format("messages[{}].", i));
      openai["messages"].push_back(translated_message(message));
    }
    return respond_translated(server, call, chat_completions, std::move(openai),
                              std::make_unique<OllamaDialect>(model, true), streams);
  });
}

std::unique_ptr<Responder> ollama_generate(ApiServer& server, const Call& call) {
  const std::string& model = server.config().model_name;
  OllamaDialect plain(model, false);
  return in_dialect(plain, [&]() -> std::unique_ptr<Responder> {
    Json body = parse_body(call.request.body), openai = Json::object();
    Fields f(body, call.schema);
    bool streams = true, is_raw = false;
    std::string prompt, suffix, system;
    take_common(f, openai, streams);
    f.text("prompt", prompt);
    f.text("suffix", suffix);
    f.text("system", system);
    f.flag("raw", is_raw);
    f.refuse("template", "", "a template per request is not built yet; the server's --chat-template is");
    f.refuse("context", Json::array(), "is not built yet; /api/chat takes the messages");
    f.refuse("images", Json::array(), "images are not built yet");
    f.finish();
    if (prompt.empty()) return only_loads(model, openai, false);
    auto dialect = std::make_unique<OllamaDialect>(model, false);
    if (is_raw || !suffix.empty() || !server.pipeline().has_chat_template()) {
      openai["prompt"] = prompt;
      if (!suffix.empty()) openai["suffix"] = suffix;
      if (!openai.contains("max_tokens")) openai["max_tokens"] = server.pipeline().session_len();
      openai.erase("chat_template_kwargs");
      return respond_translated(server, call, completions, std::move(openai), std::move(dialect), streams);
    }
    openai["messages"] = Json::array();
    if (!system.empty()) openai["messages"].push_back({{"role", "system"}, {"content", system}});
    openai["messages"].push_back({{"role", "user"}, {"content", prompt}});
    return respond_translated(server, call, chat_completions, std::move(openai), std::move(dialect), streams);
  });
}

}  // namespace

void add_ollama_routes(ApiServer& server) {
  server.post("/api/chat", ollama_chat, "Answer a conversation (Ollama)", "OllamaAnswer",
              "application/x-ndjson");
  server.post("/api/generate", ollama_generate, "Answer a prompt (Ollama)", "OllamaAnswer",
              "application/x-ndjson");
  auto embedder = std::make_shared<Embedder>(server);
  // `is_old`: /api/embeddings, one prompt and one vector.
  auto embed = [&server, embedder](const Call& call, bool is_old) {
    OllamaDialect plain(server.config().model_name, false);
    return in_dialect(plain, [&] {
      Json body = parse_body(call.request.body);
      Fields f(body, call.schema);
      bool truncates = true;
      int32_t dimensions = 0;
      const char* field = is_old ? "prompt" : "input";
      const Json* input = f.need(field, "a text or a list of texts", embedding_input_schema);
      f.flag("truncate", truncates);
      f.integer("dimensions", dimensions, 0, INT32_MAX);
      take_model(f);
      Json unused;
      f.object("options", [&](Fields& o) { read_options(o, unused); });
      f.finish();
      embedder->check_dimensions(dimensions);
      auto inputs = std::make_shared<std::vector<std::vector<int32_t>>>(
          embedder->read_inputs(*input, field, truncates));
      auto start = Clock::now();
      return respond_later([&server, embedder, inputs, dimensions, is_old,
                            start](const std::atomic<bool>& cancelled) {
        Json vectors = Json::array();
        size_t num_tokens = 0;
        for (const auto& ids : *inputs) {
          vectors.push_back(embedder->embed(ids, static_cast<size_t>(dimensions), cancelled));
          num_tokens += ids.size();
        }
        Json out = is_old ? Json{{"embedding", vectors[0]}}
                          : Json{{"model", server.config().model_name},
                                 {"embeddings", std::move(vectors)},
                                 {"total_duration", std::chrono::nanoseconds(Clock::now() - start).count()},
                                 {"load_duration", 0},
                                 {"prompt_eval_count", num_tokens}};
        return HttpResponse{{}, dump_json(out)};
      });
    });
  };
  server.routes().add("POST", "/api/embed", [embed](const Call& call) { return embed(call, false); },
                      {false, false, "Vectors of texts (Ollama)"});
  server.routes().add("POST", "/api/embeddings", [embed](const Call& call) { return embed(call, true); },
                      {false, false, "The vector of a text (Ollama)"});
}

}  // namespace turgo
