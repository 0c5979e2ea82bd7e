#include "serve/api_server.h"

#include <algorithm>
#include <ctime>

#include "core/log.h"
#include "serve/dialects/dialects.h"
#include "serve/grammar/vocabulary.h"

namespace turgo {

std::unique_ptr<Responder> respond_json(const Json& value) {
  return respond_with({{}, dump_json(value)});
}

ApiServer::ApiServer(Pipeline* model, ApiConfig config, std::shared_ptr<KeyRing> keys)
    : pipeline_(model),
      config_(std::move(config)),
      keys_(std::move(keys)),
      access_(config_.access),
      metrics_(config_.model_name),
      grammars_([this] { return grammar_vocabulary(this->pipeline()); }),
      started_(std::time(nullptr)) {
  add_health_routes(*this);
  add_openai_routes(*this);
  add_lmdeploy_routes(*this);
  add_utility_routes(*this);
  add_dialect_routes(*this);
}

void ApiServer::post(const std::string& path, std::unique_ptr<Responder> (*function)(ApiServer&, const Call&),
                     const std::string& summary, const char* answer, const char* stream) {
  routes_.add("POST", path, [this, function](const Call& call) { return function(*this, call); },
              {false, false, summary, answer, stream});
}

Pipeline& ApiServer::pipeline() {
  CHECK(pipeline_.load() != nullptr);
  return *pipeline_;
}

Grammars& ApiServer::grammars() {
  // An engine in another process compiles where its masks are filled.
  if (auto* remote = dynamic_cast<Grammars*>(&pipeline().engine())) return *remote;
  return grammars_;
}

int32_t ApiServer::vocab_size() {
  Pipeline* model = pipeline_;
  return model ? model->vocab_size() : 0;
}

const ToolFormat* ApiServer::tool_format() {
  if (config_.tool_call_parser == "none") return nullptr;
  return config_.tool_call_parser.empty() ? detect_tool_format(pipeline().chat_template_source())
                                          : find_tool_format(config_.tool_call_parser);
}

bool ApiServer::thinks() {
  return config_.reasoning_parser.empty() ? detect_thinking(pipeline().chat_template_source())
                                          : config_.reasoning_parser != "none";
}

RouteTable::Match ApiServer::match(const RouteTable& routes, const std::string& path) const {
  if (config_.api_prefix.empty()) return routes.match(path);
  if (!path.starts_with(config_.api_prefix)) return {};
  return routes.match(path.substr(config_.api_prefix.size()));
}

HttpHandler::Admission ApiServer::admit(const HttpRequest& head) {
  auto no = [&](int status, std::string message, const char* code) {
    return Admission{error_response({status, std::move(message), "", code}), 0, false};
  };
  if (std::string wrong = access_.check_origin(head); !wrong.empty())
    return no(403, wrong, "forbidden_origin");
  if (head.method == "OPTIONS") return {access_.preflight(head), 0, false};
  RouteTable::Match found = match(routes_, head.path);
  const RouteTable::Entry* entry = found.find(head.method);
  // Without a key nobody learns which paths there are.
  std::shared_ptr<ApiKey> key = keys_->find(key_of(head));
  if (!(entry && entry->info.is_open) && !key && !keys_->is_open())
    return no(401, "a valid API key is missing; expected 'Authorization: Bearer KEY'", "invalid_api_key");
  if (!found.entries) return no(404, fmt::format("there is no {}", quote(head.path)), "unknown_route");
  if (!entry) {
    Admission refused =
        no(405, fmt::format("{} does not take {}", quote(head.path), quote(head.method)), "wrong_method");
    refused.refusal->head.fields.emplace_back("Allow", found.allowed());
    return refused;
  }
  bool has_body = entry->method != "GET" && entry->method != "HEAD";
  if (has_body) {
    std::string_view type = head.field("content-type");
    std::string_view media = type.substr(0, type.find(';'));
    if (!type.empty() && media != "application/json" && !media.ends_with("+json"))
      return no(415, fmt::format("Content-Type: expected application/json, got {}", quote(type)),
                "unsupported_media_type");
    std::string_view coding = head.field("content-encoding");
    if (!coding.empty() && coding != "identity")
      return no(415, fmt::format("Content-Encoding: expected none, got {}", quote(coding)),
                "unsupported_encoding");
  }
  if (double wait = has_body && key ? keys_->admit(*key) : 0; wait > 0) {
    ApiError error(429, "this key's rate is used up; try again later", "", "rate_limit_exceeded");
    error.retry_after = wait;
    return {error_response(error), 0, false};
  }
  // A key without a name is its own name: that is nothing for a log.
  return {std::nullopt, has_body ? config_.max_body : 0, entry->info.is_cheap,
          key && key->name != key->secret ? key->name : ""};
}

std::unique_ptr<Responder> ApiServer::handle_with(const RouteTable& routes, HttpRequest request) {
  std::unique_ptr<Responder> responder;
  RouteTable::Match found = match(routes, request.path);
  const RouteTable::Entry* entry = found.find(request.method);
  CHECK(entry != nullptr);
  try {
    std::shared_ptr<ApiKey> key = keys_->find(key_of(request));
    responder = entry->route({request, key ? key->name : "", std::move(found.params)});
  } catch (const ApiError& error) {
    responder = respond_with(error_response(error));
  } catch (const Error& error) {
    responder = respond_with(error_response(to_api_error(error, false)));
  }
  return access_.open_to_origin(std::move(responder), request);
}

HttpResponse ApiServer::refuse(int status, const std::string& reason) {
  return error_response({status, reason, "", "bad_request"});
}

void ApiServer::finished(const HttpLogEntry& entry) {
  RouteTable::Match found = match(routes_, entry.path);
  const RouteTable::Entry* known = found.entries ? &found.entries->front() : nullptr;
  std::string route = known ? known->path : "other";
  metrics_.count_http(route, entry.status);
  for (const std::string* error : {&entry.error, &entry.answer.error})
    if (!error->empty()) metrics_.count_error(*error);
  bool is_probe = known && known->info.is_open && entry.status == 200;
  if (!is_probe)
    for (const Observer& observer : observers_) observer(entry, route);
  // A visit of the web page is forty files: only what goes wrong with one is worth a line.
  if (known && known->path == "/assets/{name*}" && entry.status < 400) return;
  log_info("{} {} {} {} bytes {:.3f} s{}", entry.method, quote(entry.path), entry.status, entry.bytes,
           entry.seconds, entry.aborted ? " (the client left)" : "");
}

void ApiServer::check_model(Fields& fields) const {
  std::string model;
  fields.text("model", model);
  if (model.empty() || model == config_.model_name || config_.takes_any_model) return;
  throw ApiError(404,
                 fmt::format("the model {} is not served here; '{}' is", quote(model), config_.model_name),
                 "model", "model_not_found");
}

Choice ApiServer::submit(std::vector<int32_t> ids, GenerationConfig config, const SessionRef& session,
                         bool is_chat, const std::string& param) {
  config.max_seconds = config_.timeout;
  std::shared_ptr<ApiKey> key = session.owner.empty() ? nullptr : keys_->find_name(session.owner);
  if (key && key->priority != 0) config.priority = key->priority + std::max(config.priority, 0);
  size_t num_prompt = ids.size();
  try {
    TextStream stream = is_chat ? pipeline().chat_from(std::move(ids), config, session)
                                : pipeline().generate_from(std::move(ids), config, session);
    Choice choice{std::move(stream), 0, "", {}, FinishReason::kNone, {}, nullptr};
    if (key && key->tokens.is_limited()) {
      keys_->spend(*key, num_prompt);
      choice.on_close = [this, key](size_t num_generated) { keys_->spend(*key, num_generated); };
    }
    return choice;
  } catch (const Error& error) {
    ApiError out = to_api_error(error, true);
    if (out.status == 429)
      out.retry_after = metrics_.seconds_per_answer() * pipeline().engine().stats().num_waiting / 2;
    if (error.code() == ErrorCode::kTooLong || out.param == "input_ids") out.param = param;
    throw out;
  }
}

}  // namespace turgo
