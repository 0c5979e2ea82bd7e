// POST /v1/messages and /v1/messages/count_tokens (https://docs.anthropic.com/en/api/messages).
#include <algorithm>

#include "serve/dialects/dialects.h"
#include "serve/dialects/translated.h"

namespace turgo {
namespace {

struct MessagesRequest {
  Json openai = Json::object();
  std::vector<std::string> stops;
  bool streams = false;
  size_t num_input_tokens = 0;
};

std::string blocks_text(const Json& blocks, const std::string& where) {
  if (blocks.is_string()) return blocks.get<std::string>();
  if (!blocks.is_array()) bad_field(where, "expected a text or a list of blocks, got {}", shown(blocks));
  std::string text;
  for (const Json& block : blocks) {
    if (text_of(block, "type") != "text" || !member(block, "text").is_string())
      bad_field(where, "expected blocks of type text, got {}", quote(text_of(block, "type")));
    text += text_of(block, "text");
  }
  return text;
}

Json text_blocks_schema() {
  Json block = {{"type", "object"},
                {"properties", {{"type", {{"const", "text"}}}, {"text", {{"type", "string"}}}}},
                {"required", {"type", "text"}}};
  return {{"anyOf", Json::array({{{"type", "string"}}, {{"type", "array"}, {"items", std::move(block)}}})}};
}

Json messages_schema() {
  Json block = {
      {"type", "object"},
      {"properties",
       {{"type", {{"enum", {"text", "tool_use", "tool_result", "thinking", "redacted_thinking"}}}}}},
      {"required", {"type"}}};
  Json blocks = {{"type", "array"}, {"items", std::move(block)}, {"minItems", 1}};
  Json content = {{"anyOf", Json::array({{{"type", "string"}}, std::move(blocks)})}};
  Json message = {
      {"type", "object"},
      {"properties", {{"role", {{"enum", {"user", "assistant"}}}}, {"content", std::move(content)}}},
      {"required", {"role", "content"}},
      {"additionalProperties", false}};
  return {{"type", "array"}, {"items", std::move(message)}, {"minItems", 1}};
}

// One of Anthropic's messages is one or more of OpenAI's: each tool_result is a message of its own.
void add_message(Json& out, const Json& message, const std::string& where) {
  Fields m(message, where + ".");
  std::string role;
  m.need("role", "user or assistant");
  m.choice("role", role, {"user", "assistant"});
  const Json& content = *m.need("content", "a text or a list of blocks");
  m.finish();
  if (content.is_string()) {
    out.push_back({{"role", role}, {"content", content}});
    return;
  }
  if (!content.is_array() || content.empty())
    bad_field(where + ".content", "expected a text or a list of blocks, got {}", shown(content));
  std::string text, reasoning;
  Json calls = Json::array();
  bool has_text = false;
  for (const Json& block : content) {
    std::string type = text_of(block, "type");
    if (type == "text") {
      text += blocks_text(Json::array({block}), where + ".content");
      has_text = true;
    } else if (type == "tool_use" && role == "assistant") {
      calls.push_back(
          {{"id", text_of(block, "id")},
           {"type", "function"},
           {"function",
            {{"name", text_of(block, "name")}, {"arguments", dump_json(member(block, "input"))}}}});
    } else if (type == "tool_result" && role == "user") {
      const Json& inner = member(block, "content");
      out.push_back({{"role", "tool"},
                     {"tool_call_id", text_of(block, "tool_use_id")},
                     {"content", inner.is_null() ? "" : blocks_text(inner, where + ".content")}});
    } else if (type == "thinking" && role == "assistant") {
      reasoning += text_of(block, "thinking");
    } else if (type != "redacted_thinking") {
      bad_field(where + ".content", "blocks of type {} are not built yet", quote(type));
    }
  }
  if (!has_text && calls.empty()) return;
  Json openai = {{"role", role}, {"content", text}};
  if (!calls.empty()) openai["tool_calls"] = std::move(calls);
  if (!reasoning.empty()) openai["reasoning_content"] = reasoning;
  out.push_back(std::move(openai));
}

// OpenAI's form of a tool.
Json read_tool(Fields& f) {
  std::string type, name, description;
  f.choice("type", type, {"custom"});  // Anthropic's own tools can not run here
  f.need("name", "the tool's name");
  f.text("name", name);
  f.text("description", description);
  const Json* parameters = f.take("input_schema", [] { return Json{{"type", "object"}}; });
  bool is_strict = false;
  f.flag("strict", is_strict);
  f.harmless({"cache_control", "input_examples", "eager_input_streaming"});
  f.finish();
  Json function = {{"name", name}, {"description", description}, {"strict", is_strict}};
  if (parameters) function["parameters"] = *parameters;
  return {{"type", "function"}, {"function", std::move(function)}};
}

Json tools_schema() {
  return {{"type", "array"}, {"items", Fields::schema_of(read_tool)}};
}

void take_tools(Fields& f, Json& openai) {
  if (const Json* tools = f.take("tools", tools_schema); tools && *tools != Json::array()) {
    if (!tools->is_array()) bad_field("tools", "expected a list, got {}", shown(*tools));
    openai["tools"] = Json::array();
    for (size_t i = 0; i < tools->size(); ++i) {
      Fields tool((*tools)[i], fmt::format("tools[{}].", i));
      openai["tools"].push_back(read_tool(tool));
    }
  }
  f.object("tool_choice", [&](Fields& c) {
    std::string type, name;
    bool is_single = false;
    c.need("type", "auto, any, tool or none");
    c.choice("type", type, {"auto", "any", "tool", "none"});
    c.text("name", name);
    c.flag("disable_parallel_tool_use", is_single);
    if (type == "tool")
      openai["tool_choice"] = {{"type", "function"}, {"function", {{"name", name}}}};
    else
      openai["tool_choice"] = type == "any" ? "required" : type;
    if (is_single) openai["parallel_tool_calls"] = false;
  });
}

// `counts`: of count_tokens, which has no max_tokens.
MessagesRequest read_request(ApiServer& server, const Call& call, bool counts) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  MessagesRequest r;
  Json& openai = r.openai;
  server.check_model(f);
  const Json* system = f.take("system", text_blocks_schema);
  const Json* messages = f.need("messages", "a list of at least one message", messages_schema);
  int32_t max_tokens = 0;
  if (!counts) f.need("max_tokens", "a number of 1 or more");
  f.integer("max_tokens", max_tokens, 1, INT32_MAX);
  if (max_tokens > 0) openai["max_tokens"] = max_tokens;
  f.flag("stream", r.streams);
  f.texts("stop_sequences", r.stops);
  if (!r.stops.empty()) {
    openai["stop"] = r.stops;
    openai["include_stop_str_in_output"] = true;  // to tell which one it was; it is taken off again
  }
  openai["temperature"] = 1;  // Anthropic's default
  for (const char* name : {"temperature", "top_p", "top_k"})
    if (const Json* value = f.take(name)) openai[name] = *value;
  take_tools(f, openai);
  f.object("thinking", [&](Fields& t) {
    std::string type;
    int32_t budget = -1;
    t.need("type", "enabled, adaptive or disabled");
    t.choice("type", type, {"enabled", "disabled", "adaptive"});
    t.integer("budget_tokens", budget, 0, INT32_MAX);
    t.harmless({"display"});
    openai["chat_template_kwargs"] = {{"enable_thinking", type != "disabled"}};
    if (budget >= 0 && type == "enabled") openai["thinking_token_budget"] = budget;
  });
  f.refuse("container", nullptr, "is not built yet");
  f.refuse("mcp_servers", Json::array(), "is not built yet");
  f.harmless({"metadata", "service_tier", "cache_control"});
  f.finish();
  openai["messages"] = Json::array();
  if (system) {
    std::string text = blocks_text(*system, "system");
    if (!text.empty()) openai["messages"].push_back({{"role", "system"}, {"content", text}});
  }
  if (!messages->is_array() || messages->empty())
    bad_field("messages", "expected a list of at least one message, got {}", shown(*messages));
  for (size_t i = 0; i < messages->size(); ++i)
    add_message(openai["messages"], (*messages)[i], fmt::format("messages[{}]", i));
  if (openai["messages"].empty()) bad_field("messages", "hold no text");
  const Json& last = openai["messages"].back();
  // The answer goes on where the caller has begun it.
  if (last["role"] == "assistant" && !last.contains("tool_calls")) openai["continue_final_message"] = true;
  return r;
}

// What stands in front of the answer, as usage counts it.
size_t count_input(ApiServer& server, const Call& call, const Json& openai) {
  HttpRequest request = call.request;
  request.body = dump_json(openai);
  return chat_prompt(server, {request, call.owner}).size();
}

class AnthropicDialect : public Dialect {
 public:
  AnthropicDialect(std::string model, MessagesRequest request)
      : model_(std::move(model)), request_(std::move(request)) {
    for (const std::string& stop : request_.stops) held_bytes_ = std::max(held_bytes_, stop.size());
  }

  std::string begin() override {
    Json message = head();
    message["content"] = Json::array();
    message["stop_reason"] = message["stop_sequence"] = nullptr;
    message["usage"] = {{"input_tokens", request_.num_input_tokens}, {"output_tokens", 0}};
    return event({{"type", "message_start"}, {"message", std::move(message)}}) + event({{"type", "ping"}});
  }

  std::string chunk(const Json& chunk) override {
    std::string out;
    if (const Json& usage = member(chunk, "usage"); usage.is_object()) usage_ = usage_json(usage);
    const Json& choice = first_choice(chunk);
    const Json& delta = member(choice, "delta");
    if (std::string text = reasoning_of(delta); !text.empty()) {
      out += open("thinking", {{"type", "thinking"}, {"thinking", ""}, {"signature", ""}});
      out += this->delta({{"type", "thinking_delta"}, {"thinking", text}});
    }
    if (std::string text = text_of(delta, "content"); !text.empty()) out += add_text(text);
    const Json& calls = member(delta, "tool_calls");
    if (calls.is_array())
      for (const Json& call : calls) out += add_call(call);
    if (std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
    return out;
  }

  std::string end() override {
    std::string stop = take_stop(held_), out;
    if (!held_.empty()) out += text_delta(std::exchange(held_, ""));
    if (block_ < 0) out += open("text", {{"type", "text"}, {"text", ""}});
    out += close();
    out += event(
        {{"type", "message_delta"},
         {"delta", {{"stop_reason", reason(stop)}, {"stop_sequence", stop.empty() ? Json() : Json(stop)}}},
         {"usage", usage_}});
    return out + event({{"type", "message_stop"}});
  }

  std::string failure(const Json& error) override {
    return "event: error\ndata: " + error_body(500, error) + "\n\n";
  }

  std::string whole(const Json& completion) override {
    const Json& choice = first_choice(completion);
    const Json& message = member(choice, "message");
    finish_ = text_of(choice, "finish_reason");
    Json content = Json::array();
    if (std::string text = reasoning_of(message); !text.empty())
      content.push_back({{"type", "thinking"}, {"thinking", text}, {"signature", ""}});
    std::string text = text_of(message, "content"), stop = take_stop(text);
    const Json& calls = member(message, "tool_calls");
    bool has_calls = calls.is_array() && !calls.empty();
    if (!text.empty() || !has_calls) content.push_back({{"type", "text"}, {"text", text}});
    if (has_calls)
      for (const Json& call : calls) {
        Json input = Json::parse(text_of(member(call, "function"), "arguments"), nullptr, false);
        content.push_back({{"type", "tool_use"},
                           {"id", text_of(call, "id")},
                           {"name", text_of(member(call, "function"), "name")},
                           {"input", input.is_object() ? input : Json::object()}});
      }
    Json out = head();
    out["content"] = std::move(content);
    out["stop_reason"] = reason(stop);
    out["stop_sequence"] = stop.empty() ? Json() : Json(stop);
    out["usage"] = usage_json(member(completion, "usage"));
    return dump_json(out);
  }

  std::string error_body(int status, const Json& error) override {
    const char* type = status == 401   ? "authentication_error"
                       : status == 403 ? "permission_error"
                       : status == 404 ? "not_found_error"
                       : status == 413 ? "request_too_large"
                       : status == 429 ? "rate_limit_error"
                       : status == 503 ? "overloaded_error"
                       : status >= 500 ? "api_error"
                                       : "invalid_request_error";
    return dump_json(
        {{"type", "error"}, {"error", {{"type", type}, {"message", text_of(error, "message")}}}});
  }

 private:
  static std::string event(const Json& json) {
    return "event: " + json["type"].get<std::string>() + "\ndata: " + dump_json(json) + "\n\n";
  }
  static std::string reasoning_of(const Json& message) {
    std::string text = text_of(message, "reasoning_content");
    return text.empty() ? text_of(message, "reasoning") : text;
  }
  static Json usage_json(const Json& usage) {
    int64_t cached = number_of(member(usage, "prompt_tokens_details"), "cached_tokens");
    return {{"input_tokens", number_of(usage, "prompt_tokens") - cached},
            {"cache_creation_input_tokens", 0},
            {"cache_read_input_tokens", cached},
            {"output_tokens", number_of(usage, "completion_tokens")}};
  }
  Json head() const { return {{"id", id_}, {"type", "message"}, {"role", "assistant"}, {"model", model_}}; }
  Json reason(const std::string& stop) const {
    if (!stop.empty()) return "stop_sequence";
    return finish_ == "length" ? "max_tokens" : finish_ == "tool_calls" ? "tool_use" : "end_turn";
  }
  // Takes the stop sequence off the end of the text that it ended.
  std::string take_stop(std::string& text) const {
    if (finish_ != "stop") return "";
    for (const std::string& stop : request_.stops)
      if (text.ends_with(stop)) {
        text.resize(text.size() - stop.size());
        return stop;
      }
    return "";
  }

  std::string open(const std::string& kind, Json block) {
    if (kind == open_) return "";
    std::string out = close();
    open_ = kind;
    return out +
           event({{"type", "content_block_start"}, {"index", ++block_}, {"content_block", std::move(block)}});
  }
  std::string close() {
    if (open_.empty()) return "";
    open_.clear();
    return event({{"type", "content_block_stop"}, {"index", block_}});
  }
  std::string delta(Json json) const {
    return event({{"type", "content_block_delta"}, {"index", block_}, {"delta", std::move(json)}});
  }
  std::string text_delta(const std::string& text) {
    std::string out = open("text", {{"type", "text"}, {"text", ""}});  // before delta(), which says its index
    return out + delta({{"type", "text_delta"}, {"text", text}});
  }
  // As much is held back as a stop sequence may still be taken off.
  std::string add_text(const std::string& text) {
    held_ += text;
    if (held_.size() <= held_bytes_) return "";
    size_t cut = held_.size() - held_bytes_;
    while (cut > 0 && cut < held_.size() && (static_cast<unsigned char>(held_[cut]) & 0xC0) == 0x80) --cut;
    if (cut == 0) return "";
    std::string out = text_delta(held_.substr(0, cut));
    held_.erase(0, cut);
    return out;
  }
  std::string add_call(const Json& call) {
    std::string out, name = text_of(member(call, "function"), "name");
    if (!held_.empty()) out += text_delta(std::exchange(held_, ""));
    if (!name.empty())
      out += open(
          fmt::format("tool {}", number_of(call, "index")),
          {{"type", "tool_use"}, {"id", text_of(call, "id")}, {"name", name}, {"input", Json::object()}});
    std::string arguments = text_of(member(call, "function"), "arguments");
    if (!arguments.empty()) out += delta({{"type", "input_json_delta"}, {"partial_json", arguments}});
    return out;
  }

  std::string model_, id_ = random_id("msg_");
  MessagesRequest request_;
  size_t held_bytes_ = 0;
  std::string held_, finish_;
  std::string open_;  // kind of the block that is open
  int block_ = -1;
  Json usage_ = Json::object();
};

std::unique_ptr<Responder> messages_route(ApiServer& server, const Call& call) {
  AnthropicDialect plain(server.config().model_name, {});
  return in_dialect(plain, [&] {
    MessagesRequest r = read_request(server, call, false);
    if (r.streams) r.num_input_tokens = count_input(server, call, r.openai);
    Json openai = r.openai;
    bool streams = r.streams;
    auto dialect = std::make_unique<AnthropicDialect>(server.config().model_name, std::move(r));
    return respond_translated(server, call, chat_completions, std::move(openai), std::move(dialect), streams);
  });
}

std::unique_ptr<Responder> count_tokens_route(ApiServer& server, const Call& call) {
  AnthropicDialect plain(server.config().model_name, {});
  return in_dialect(plain, [&] {
    MessagesRequest r = read_request(server, call, true);
    return respond_json({{"input_tokens", count_input(server, call, r.openai)}});
  });
}

}  // namespace

void add_anthropic_routes(ApiServer& server) {
  server.post("/v1/messages", messages_route, "Answer a conversation (Anthropic)", "AnthropicMessage",
              "text/event-stream");
  server.post("/v1/messages/count_tokens", count_tokens_route, "Tokens of a conversation (Anthropic)",
              "AnthropicCount");
}

}  // namespace turgo
