// POST /v1/responses (https://platform.openai.com/docs/api-reference/responses), and what is stored of them:
// GET and DELETE /v1/responses/{id}. previous_response_id continues a stored conversation; its tokens come
// from the prefix cache.
#include <ctime>
#include <list>
#include <map>
#include <mutex>

#include "serve/dialects/dialects.h"
#include "serve/dialects/translated.h"

namespace turgo {
namespace {

// The last answers of every caller: the conversation in OpenAI's chat form, and the answer as it was given.
class ResponseStore {
 public:
  struct Entry {
    std::string id, owner;
    Json messages, response;
  };
  void add(Entry entry) {
    std::lock_guard lock(mutex_);
    entries_.push_front(std::move(entry));
    by_id_[entries_.front().id] = entries_.begin();
    if (entries_.size() <= kMaxEntries) return;
    by_id_.erase(entries_.back().id);
    entries_.pop_back();
  }
  // Throws ApiError 404.
  Entry get(const std::string& id, const std::string& owner) {
    std::lock_guard lock(mutex_);
    return *find(id, owner);
  }
  void erase(const std::string& id, const std::string& owner) {
    std::lock_guard lock(mutex_);
    auto entry = find(id, owner);
    by_id_.erase(id);
    entries_.erase(entry);
  }

 private:
  static constexpr size_t kMaxEntries = 1000;
  std::list<Entry>::iterator find(const std::string& id, const std::string& owner) {
    auto found = by_id_.find(id);
    if (found == by_id_.end() || found->second->owner != owner)
      throw ApiError(404, fmt::format("the response {} is not stored here", quote(id)),
                     "previous_response_id", "not_found");
    return found->second;
  }
  std::mutex mutex_;
  std::list<Entry> entries_;  // newest first
  std::map<std::string, std::list<Entry>::iterator> by_id_;
};

struct ResponsesRequest {
  Json openai = Json::object();
  Json messages = Json::array();  // without the instructions: they are not handed on
  Json shown = Json::object();    // what the answer repeats of the request
  std::string owner;
  bool streams = false, stores = true;
};

std::string parts_text(const Json& content, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) bad_field(where, "expected a text or a list of parts, got {}", shown(content));
  std::string text;
  for (const Json& part : content) {
    std::string type = text_of(part, "type");
    if (type != "input_text" && type != "output_text" && type != "text")
      bad_field(where, "parts of type {} are not built yet", quote(type));
    text += text_of(part, "text");
  }
  return text;
}

void add_item(Json& messages, const Json& item, const std::string& where) {
  std::string type = text_of(item, "type");
  if (type == "function_call") {
    Json call = {{"id", text_of(item, "call_id")},
                 {"type", "function"},
                 {"function", {{"name", text_of(item, "name")}, {"arguments", text_of(item, "arguments")}}}};
    bool joins = !messages.empty() && messages.back()["role"] == "assistant";
    if (!joins) messages.push_back({{"role", "assistant"}, {"content", ""}});
    messages.back()["tool_calls"].push_back(std::move(call));
  } else if (type == "function_call_output") {
    messages.push_back({{"role", "tool"},
                        {"tool_call_id", text_of(item, "call_id")},
                        {"content", parts_text(member(item, "output"), where + ".output")}});
  } else if (type == "reasoning") {
    return;  // templates want none of earlier turns
  } else if (type.empty() || type == "message") {
    messages.push_back({{"role", member(item, "role")},
                        {"content", parts_text(member(item, "content"), where + ".content")}});
  } else {
    bad_field(where, "items of type {} are not built yet", quote(type));
  }
}

void take_tools(Fields& f, ResponsesRequest& r) {
  r.shown["tools"] = Json::array();
  auto tools_schema = [] { return Json{{"type", "array"}, {"items", {{"type", "object"}}}}; };
  if (const Json* tools = f.take("tools", tools_schema); tools && *tools != Json::array()) {
    if (!tools->is_array()) bad_field("tools", "expected a list, got {}", shown(*tools));
    r.shown["tools"] = *tools;
    for (const Json& tool : *tools) {
      if (text_of(tool, "type") != "function")
        bad_field("tools", "expected tools of type function, got {}", shown(member(tool, "type")));
      Json function = {{"name", member(tool, "name")}, {"parameters", member(tool, "parameters")}};
      for (const char* name : {"description", "strict"})
        if (!member(tool, name).is_null()) function[name] = tool[name];
      r.openai["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
    }
  }
  r.shown["tool_choice"] = "auto";
  if (const Json* choice = f.take("tool_choice")) {
    r.shown["tool_choice"] = *choice;
    bool named = choice->is_object() && text_of(*choice, "type") == "function";
    r.openai["tool_choice"] =
        named ? Json{{"type", "function"}, {"function", {{"name", member(*choice, "name")}}}} : *choice;
    if (r.openai["tool_choice"] == "auto" && !r.openai.contains("tools")) r.openai.erase("tool_choice");
  }
  bool parallel = true;
  f.flag("parallel_tool_calls", parallel);
  r.shown["parallel_tool_calls"] = parallel;
  if (!parallel) r.openai["parallel_tool_calls"] = false;
}

void take_format(Fields& f, ResponsesRequest& r) {
  r.shown["text"] = {{"format", {{"type", "text"}}}};
  f.object("text", [&](Fields& t) {
    t.refuse("verbosity", "medium", "is not built yet");
    const Json* format = t.take("format", [] { return Json{{"type", "object"}, {"required", {"type"}}}; });
    if (!format) return;
    r.shown["text"]["format"] = *format;
    if (text_of(*format, "type") == "json_schema") {
      Json schema = *format;
      schema.erase("type");
      r.openai["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
    } else if (text_of(*format, "type") != "text") {
      r.openai["response_format"] = *format;
    }
  });
}

ResponsesRequest read_request(ApiServer& server, const Call& call, ResponseStore& store) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  ResponsesRequest r;
  r.owner = call.owner;
  server.check_model(f);
  std::string previous, instructions, truncation = "disabled";
  f.text("previous_response_id", previous);
  f.text("instructions", instructions);
  const Json* input = f.need("input", "a text or a list of items", [] {
    Json items = {{"type", "array"}, {"items", {{"type", "object"}}}};
    return Json{{"anyOf", Json::array({{{"type", "string"}}, std::move(items)})}};
  });
  f.flag("stream", r.streams);
  f.flag("store", r.stores);
  int32_t max_tokens = 0;
  f.integer("max_output_tokens", max_tokens, 1, INT32_MAX);
  if (max_tokens > 0) r.openai["max_tokens"] = max_tokens;
  for (const char* name : {"temperature", "top_p", "seed", "top_k", "stop"}) {
    const Json* value = f.take(name);
    if (value) r.openai[name] = *value;
    r.shown[name] = value ? *value : Json();
  }
  take_tools(f, r);
  take_format(f, r);
  f.choice("truncation", truncation, {"disabled"});
  f.refuse("background", false, "is not built yet");
  f.refuse("top_logprobs", 0, "is not built yet; /v1/chat/completions has it");
  r.shown["reasoning"] = {{"effort", nullptr}, {"summary", nullptr}};
  f.object("reasoning", [&](Fields& o) {
    std::string effort;
    o.choice("effort", effort, {"none", "minimal", "low", "medium", "high", "xhigh"});
    o.harmless({"summary", "generate_summary"});  // thoughts are given as they are
    if (effort.empty()) return;
    r.openai["reasoning_effort"] = effort;
    r.shown["reasoning"]["effort"] = effort;
  });
  f.refuse("conversation", nullptr, "is not built yet; previous_response_id is");
  f.refuse("prompt", nullptr, "stored prompts are not built yet");
  f.refuse("max_tool_calls", nullptr, "is not built yet");
  const Json* metadata = f.take("metadata", [] { return Json{{"type", "object"}}; });
  r.shown["metadata"] = metadata ? *metadata : Json::object();
  const Json* include = f.take("include", [] {
    return Json{{"type", "array"}, {"items", {{"enum", {"reasoning.encrypted_content"}}}}};
  });
  f.harmless({"user", "service_tier", "safety_identifier", "prompt_cache_key", "stream_options",
              "prompt_cache_retention", "client_metadata"});
  f.finish();
  if (metadata && !metadata->is_object())
    bad_field("metadata", "expected an object, got {}", shown(*metadata));
  if (include && !include->is_array()) bad_field("include", "expected a list, got {}", shown(*include));
  // What has no place in these answers can not be in them.
  for (const Json& one : include ? *include : Json::array())
    if (one != "reasoning.encrypted_content")
      bad_field("include", "{} is not built yet; expected reasoning.encrypted_content", shown(one));
  if (!previous.empty()) r.messages = store.get(previous, call.owner).messages;
  if (input->is_string())
    r.messages.push_back({{"role", "user"}, {"content", *input}});
  else if (!input->is_array())
    bad_field("input", "expected a text or a list of items, got {}", shown(*input));
  else
    for (size_t i = 0; i < input->size(); ++i) add_item(r.messages, (*input)[i], fmt::format("input[{}]", i));
  r.openai["messages"] = Json::array();
  if (!instructions.empty()) r.openai["messages"].push_back({{"role", "system"}, {"content", instructions}});
  for (const Json& message : r.messages) r.openai["messages"].push_back(message);
  r.shown["instructions"] = instructions.empty() ? Json() : Json(instructions);
  r.shown["max_output_tokens"] = max_tokens > 0 ? Json(max_tokens) : Json();
  r.shown["previous_response_id"] = previous.empty() ? Json() : Json(previous);
  r.shown["truncation"] = truncation;
  r.shown["store"] = r.stores;
  return r;
}

class ResponsesDialect : public Dialect {
 public:
  ResponsesDialect(std::string model, ResponsesRequest request, std::shared_ptr<ResponseStore> store)
      : model_(std::move(model)), request_(std::move(request)), store_(std::move(store)) {}

  std::string begin() override {
    std::string out = event("response.created", {{"response", response("in_progress")}});
    return out + event("response.in_progress", {{"response", response("in_progress")}});
  }

  std::string chunk(const Json& chunk) override {
    if (const Json& usage = member(chunk, "usage"); usage.is_object()) usage_ = usage;
    const Json& choice = first_choice(chunk);
    if (std::string finish = text_of(choice, "finish_reason"); !finish.empty()) finish_ = finish;
    const Json& delta = member(choice, "delta");
    std::string out;
    if (std::string text = text_of(delta, "reasoning_content"); !text.empty()) out += add_reasoning(text);
    if (std::string text = text_of(delta, "content"); !text.empty()) {
      out += open_message();
      output_.back()["content"][0]["text"].get_ref<std::string&>() += text;
      out += event("response.output_text.delta", {{"item_id", output_.back()["id"]},
                                                  {"output_index", output_.size() - 1},
                                                  {"content_index", 0},
                                                  {"delta", text},
                                                  {"logprobs", Json::array()}});
    }
    if (const Json& calls = member(delta, "tool_calls"); calls.is_array())
      for (const Json& call : calls) out += add_call(call);
    return out;
  }

  std::string end() override {
    std::string out = output_.empty() ? open_message() : "";
    out += close();
    Json done = finished();
    return out + event(done["status"] == "completed" ? "response.completed" : "response.incomplete",
                       {{"response", done}});
  }

  std::string failure(const Json& error) override {
    Json failed = response("failed");
    failed["error"] = {{"code", "server_error"}, {"message", text_of(error, "message")}};
    return event("response.failed", {{"response", std::move(failed)}});
  }

  std::string whole(const Json& completion) override {
    const Json& choice = first_choice(completion);
    const Json& message = member(choice, "message");
    finish_ = text_of(choice, "finish_reason");
    usage_ = member(completion, "usage");
    const Json& calls = member(message, "tool_calls");
    bool has_calls = calls.is_array() && !calls.empty();
    if (std::string text = text_of(message, "reasoning_content"); !text.empty()) add_reasoning(text), close();
    std::string text = text_of(message, "content");
    if (!text.empty() || !has_calls) {
      open_message();
      output_.back()["content"][0]["text"] = text;
      close();
    }
    if (has_calls)
      for (const Json& call : calls) add_call(call), close();
    return dump_json(finished());
  }

  std::string error_body(int, const Json& error) override { return dump_json({{"error", error}}); }

 private:
  std::string event(const char* type, Json json) {
    Json out = {{"type", type}, {"sequence_number", num_events_++}};
    out.update(json);
    return fmt::format("event: {}\ndata: {}\n\n", type, dump_json(out));
  }

  Json response(const char* status) const {
    Json out = {{"id", id_},        {"object", "response"}, {"created_at", created_},
                {"status", status}, {"error", nullptr},     {"incomplete_details", nullptr},
                {"model", model_},  {"output", output_},    {"usage", nullptr}};
    out.update(request_.shown);
    return out;
  }

  std::string open_message() {
    if (is_open_ && output_.back()["type"] == "message") return "";
    std::string out = close();
    output_.push_back({{"id", random_id("msg_")},
                       {"type", "message"},
                       {"status", "in_progress"},
                       {"role", "assistant"},
                       {"content", Json::array()}});
    is_open_ = true;
    Json part = {
        {"type", "output_text"}, {"text", ""}, {"annotations", Json::array()}, {"logprobs", Json::array()}};
    out +=
        event("response.output_item.added", {{"output_index", output_.size() - 1}, {"item", output_.back()}});
    out += event("response.content_part.added", {{"item_id", output_.back()["id"]},
                                                 {"output_index", output_.size() - 1},
                                                 {"content_index", 0},
                                                 {"part", part}});
    output_.back()["content"].push_back(std::move(part));
    return out;
  }

  std::string add_reasoning(const std::string& text) {
    std::string out;
    if (!is_open_ || output_.back()["type"] != "reasoning") {
      out = close();
      output_.push_back({{"id", random_id("rs_")},
                         {"type", "reasoning"},
                         {"status", "in_progress"},
                         {"summary", Json::array()},
                         {"content", Json::array({{{"type", "reasoning_text"}, {"text", ""}}})}});
      is_open_ = true;
      out += event("response.output_item.added",
                   {{"output_index", output_.size() - 1}, {"item", output_.back()}});
    }
    output_.back()["content"][0]["text"].get_ref<std::string&>() += text;
    return out + event("response.reasoning_text.delta", {{"item_id", output_.back()["id"]},
                                                         {"output_index", output_.size() - 1},
                                                         {"content_index", 0},
                                                         {"delta", text}});
  }

  std::string add_call(const Json& call) {
    std::string out, name = text_of(member(call, "function"), "name");
    if (!name.empty()) {
      out += close();
      output_.push_back({{"id", random_id("fc_")},
                         {"type", "function_call"},
                         {"status", "in_progress"},
                         {"call_id", text_of(call, "id")},
                         {"name", name},
                         {"arguments", ""}});
      is_open_ = true;
      out += event("response.output_item.added",
                   {{"output_index", output_.size() - 1}, {"item", output_.back()}});
    }
    std::string arguments = text_of(member(call, "function"), "arguments");
    if (arguments.empty() || !is_open_) return out;
    output_.back()["arguments"].get_ref<std::string&>() += arguments;
    return out + event("response.function_call_arguments.delta", {{"item_id", output_.back()["id"]},
                                                                  {"output_index", output_.size() - 1},
                                                                  {"delta", arguments}});
  }

  std::string close() {
    if (!is_open_) return "";
    is_open_ = false;
    Json& item = output_.back();
    size_t index = output_.size() - 1;
    item["status"] = "completed";
    std::string out;
    if (item["type"] == "message") {
      const Json& part = item["content"][0];
      out += event("response.output_text.done", {{"item_id", item["id"]},
                                                 {"output_index", index},
                                                 {"content_index", 0},
                                                 {"text", part["text"]},
                                                 {"logprobs", Json::array()}});
      out += event("response.content_part.done",
                   {{"item_id", item["id"]}, {"output_index", index}, {"content_index", 0}, {"part", part}});
    } else if (item["type"] == "reasoning") {
      out += event("response.reasoning_text.done", {{"item_id", item["id"]},
                                                    {"output_index", index},
                                                    {"content_index", 0},
                                                    {"text", item["content"][0]["text"]}});
    } else {
      out += event("response.function_call_arguments.done", {{"item_id", item["id"]},
                                                             {"output_index", index},
                                                             {"name", item["name"]},
                                                             {"arguments", item["arguments"]}});
    }
    return out + event("response.output_item.done", {{"output_index", index}, {"item", item}});
  }

  Json finished() {
    bool is_cut = finish_ == "length";
    Json done = response(is_cut ? "incomplete" : "completed");
    if (is_cut) done["incomplete_details"] = {{"reason", "max_output_tokens"}};
    done["usage"] = {
        {"input_tokens", number_of(usage_, "prompt_tokens")},
        {"input_tokens_details",
         {{"cached_tokens", number_of(member(usage_, "prompt_tokens_details"), "cached_tokens")}}},
        {"output_tokens", number_of(usage_, "completion_tokens")},
        {"output_tokens_details",
         {{"reasoning_tokens", number_of(member(usage_, "completion_tokens_details"), "reasoning_tokens")}}},
        {"total_tokens", number_of(usage_, "total_tokens")}};
    if (!request_.stores) return done;
    Json messages = request_.messages;
    for (const Json& item : output_) add_item(messages, item, "output");
    store_->add({id_, request_.owner, std::move(messages), done});
    return done;
  }

  std::string model_, id_ = random_id("resp_"), finish_;
  std::time_t created_ = std::time(nullptr);
  ResponsesRequest request_;
  std::shared_ptr<ResponseStore> store_;
  Json output_ = Json::array(), usage_;
  bool is_open_ = false;  // the last item of output_
  int64_t num_events_ = 0;
};

}  // namespace

void add_responses_routes(ApiServer& server) {
  auto store = std::make_shared<ResponseStore>();
  server.routes().add(
      "POST", "/v1/responses",
      [&server, store](const Call& call) {
        ResponsesRequest r = read_request(server, call, *store);
        Json openai = r.openai;
        bool streams = r.streams;
        auto dialect = std::make_unique<ResponsesDialect>(server.config().model_name, std::move(r), store);
        return respond_translated(server, call, chat_completions, std::move(openai), std::move(dialect),
                                  streams);
      },
      {false, false, "Answer, and remember the conversation (OpenAI)", "Response", "text/event-stream"});
  server.routes().add(
      "GET", "/v1/responses/{id}",
      [store](const Call& call) { return respond_json(store->get(call.params[0], call.owner).response); },
      {false, false, "A stored response", "Response"});
  server.routes().add(
      "DELETE", "/v1/responses/{id}",
      [store](const Call& call) {
        store->erase(call.params[0], call.owner);
        return respond_json({{"id", call.params[0]}, {"object", "response"}, {"deleted", true}});
      },
      {false, false, "Forget a stored response", "Deleted"});
}

}  // namespace turgo
