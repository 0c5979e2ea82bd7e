#include "serve/openai/chat_messages.h"

namespace turgo {
namespace {

constexpr size_t kMaxMessages = 4096;

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

Json content_schema() {
  Json part = {{"type", "object"},
               {"properties", {{"type", {{"const", "text"}}}, {"text", {{"type", "string"}}}}},
               {"required", {"type", "text"}}};
  return {{"anyOf", Json::array({{{"type", "string"}}, {{"type", "array"}, {"items", std::move(part)}}})}};
}

struct ReadCall {
  std::string id, type = "function", name;
  const Json *function = nullptr, *arguments = nullptr;
};

void read_function(Fields& f, ReadCall& r) {
  f.need("name", "the function's name");
  f.text("name", r.name);
  r.arguments = f.take("arguments", [] { return Json{{"type", Json::array({"string", "object"})}}; });
  f.finish();
}

void read_call_fields(Fields& c, ReadCall& r) {
  c.text("id", r.id);
  c.choice("type", r.type, {"function"});
  c.harmless({"index"});
  r.function = c.need("function", "its name and arguments", [] {
    return Fields::schema_of([](Fields& f) {
      ReadCall unused;
      read_function(f, unused);
    });
  });
  c.finish();
}

Json calls_schema() {
  Json call = Fields::schema_of([](Fields& c) {
    ReadCall unused;
    read_call_fields(c, unused);
  });
  return {{"type", "array"}, {"items", std::move(call)}};
}

// A call as an earlier answer gave it. Templates want its arguments as an object.
Json read_call(const Json& one, const std::string& where) {
  ReadCall r;
  Fields c(one, where + ".");
  read_call_fields(c, r);
  Fields f(*r.function, where + ".function.");
  read_function(f, r);
  const Json* arguments = r.arguments;
  Json value = Json::object();
  if (arguments && arguments->is_object()) value = *arguments;
  if (arguments && arguments->is_string() && !arguments->get_ref<const std::string&>().empty()) {
    try {
      value = parse_body(arguments->get_ref<const std::string&>());
    } catch (const ApiError&) {
      value = nullptr;
    }
  }
  if (r.name.empty() || !value.is_object())
    bad_field(where + ".function", "expected a name and arguments as a JSON object");
  return {
      {"id", r.id}, {"type", "function"}, {"function", {{"name", r.name}, {"arguments", std::move(value)}}}};
}

struct ReadMessage {
  std::string role, call_id, name, reasoning;
  const Json *content = nullptr, *calls = nullptr;
};

ReadMessage read_message(Fields& m) {
  ReadMessage r;
  m.need("role", "system, developer, user, assistant or tool");
  m.choice("role", r.role, {"system", "developer", "user", "assistant", "tool", "function"});
  if (r.role == "developer") r.role = "system";
  if (r.role == "function") r.role = "tool";
  r.content = m.take("content", content_schema);
  r.calls = m.take("tool_calls", calls_schema);
  m.text("tool_call_id", r.call_id);
  m.text("name", r.name);
  m.text("reasoning_content", r.reasoning);
  m.text("reasoning", r.reasoning);
  m.harmless({"refusal", "annotations"});
  m.refuse("audio", nullptr, "audio is not built yet");
  m.refuse("function_call", nullptr, "expected tool_calls");
  m.finish();
  return r;
}

}  // namespace

Json messages_schema() {
  Json list = {{"type", "array"},
               {"items", Fields::schema_of(read_message)},
               {"minItems", 1},
               {"maxItems", kMaxMessages}};
  return {{"anyOf", Json::array({{{"type", "string"}}, std::move(list)})}};
}

Json read_messages(const Json& messages) {
  if (messages.is_string()) return Json::array({{{"role", "user"}, {"content", messages}}});
  if (!messages.is_array() || messages.empty() || messages.size() > kMaxMessages)
    bad_field("messages", "expected a list of 1 to {} messages, got {}", kMaxMessages, shown(messages));
  Json out = Json::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    std::string where = fmt::format("messages[{}]", i);
    Fields m(messages[i], where + ".");
    auto [role, call_id, name, reasoning, content, calls] = read_message(m);
    bool has_calls = calls && calls->is_array() && !calls->empty();
    if (calls && (!calls->is_array() || role != "assistant"))
      bad_field(where + ".tool_calls", "expected a list, in a message of the assistant");
    if (!content && !has_calls) bad_field(where + ".content", "expected a text");
    Json message = {{"role", role},
                    {"content", content ? content_of(*content, where + ".content") : Json("")}};
    if (has_calls) {
      message["tool_calls"] = Json::array();
      for (size_t c = 0; c < calls->size(); ++c)
        message["tool_calls"].push_back(read_call((*calls)[c], fmt::format("{}.tool_calls[{}]", where, c)));
    }
    if (!call_id.empty()) message["tool_call_id"] = call_id;
    if (!name.empty() && role == "tool") message["name"] = name;
    if (!reasoning.empty()) message["reasoning_content"] = reasoning;
    out.push_back(std::move(message));
  }
  return out;
}

std::vector<Json> ChatDeltas::to_deltas(const std::vector<AnswerPart>& parts) const {
  std::vector<Json> out;
  for (const AnswerPart& part : parts) {
    bool is_call = part.kind == AnswerPart::Kind::kCall || part.kind == AnswerPart::Kind::kArguments;
    if (is_call && part.call > 0 && !is_parallel_) continue;
    if (part.kind == AnswerPart::Kind::kContent) out.push_back({{"content", part.text}});
    if (part.kind == AnswerPart::Kind::kReasoning) out.push_back({{"reasoning_content", part.text}});
    if (part.kind == AnswerPart::Kind::kCall)
      out.push_back(
          {{"tool_calls", Json::array({{{"index", part.call},
                                        {"id", random_id("call_")},
                                        {"type", "function"},
                                        {"function", {{"name", part.text}, {"arguments", ""}}}}})}});
    if (part.kind == AnswerPart::Kind::kArguments)
      out.push_back(
          {{"tool_calls", Json::array({{{"index", part.call}, {"function", {{"arguments", part.text}}}}})}});
  }
  return out;
}

Json chat_message(const AnswerParser::Options& options, bool is_parallel, std::string_view text) {
  AnswerParser parser(options);
  ParsedAnswer answer;
  for (const AnswerPart& part : parser.add(text)) answer.add(part);
  for (const AnswerPart& part : parser.finish()) answer.add(part);
  if (!is_parallel && answer.calls.size() > 1) answer.calls.resize(1);
  bool is_null = answer.content.empty() && !answer.calls.empty();
  Json message = {{"role", "assistant"},
                  {"content", is_null ? Json(nullptr) : Json(answer.content)},
                  {"refusal", nullptr}};
  if (!answer.reasoning.empty()) message["reasoning_content"] = answer.reasoning;
  for (const ParsedAnswer::Call& call : answer.calls)
    message["tool_calls"].push_back({{"id", random_id("call_")},
                                     {"type", "function"},
                                     {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  return message;
}

}  // namespace turgo
