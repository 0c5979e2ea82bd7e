// /v1/sessions: the stateful conversations of /v1/chat/interactive as things that can be listed, forked,
// saved and deleted. A session belongs to the key that began it.
#include <filesystem>

#include "core/json.h"
#include "io/atomic_file.h"
#include "serve/dialects/dialects.h"
#include "serve/dialects/translated.h"

namespace turgo {
namespace {

[[noreturn]] void no_session(const std::string& id) {
  throw ApiError(404, fmt::format("there is no session {}", quote(id)), "session_id", "not_found");
}

// The conversation as JSON, for GET and for what a save holds beside the tokens.
Json messages_json(const InteractiveSession& session) {
  Json out = Json::array();
  for (const Message& message : session.messages)
    out.push_back({{"role", message.role}, {"content", message_text(message)}});
  return out;
}

std::unique_ptr<Responder> list_route(ApiServer& server, const Call& call) {
  Json data = Json::array();
  for (const SessionInfo& info : server.pipeline().engine().list_sessions(call.owner))
    data.push_back({{"id", info.id}, {"object", "session"}, {"num_tokens", info.num_tokens}});
  return respond_json({{"object", "list"}, {"data", std::move(data)}});
}

std::unique_ptr<Responder> get_route(ApiServer& server, const Call& call) {
  const std::string& id = call.params[0];
  Json out = {{"id", id}, {"object", "session"}};
  std::vector<int32_t> tokens = server.pipeline().engine().session_tokens(id, call.owner);
  out["num_tokens"] = tokens.size();
  out["tokens"] = std::move(tokens);
  std::lock_guard lock(server.sessions().mutex);
  if (auto session = server.sessions().find(call.owner, id, false)) out["messages"] = messages_json(*session);
  return respond_json(out);
}

std::unique_ptr<Responder> fork_route(ApiServer& server, const Call& call) {
  const std::string& id = call.params[0];
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  std::string new_id;
  int64_t number = -1;
  const Json* given = f.need("new_id", "the id of the copy", [] {
    return Json{{"type", Json::array({"string", "integer"})}, {"minLength", 1}, {"minimum", 0}};
  });
  if (given && given->is_number_integer())
    f.integer("new_id", number, 0, INT64_MAX);
  else
    f.text("new_id", new_id);
  server.check_model(f);
  f.finish();
  if (number >= 0) new_id = std::to_string(number);
  if (new_id.empty()) bad_field("new_id", "is empty; expected the id of the copy");
  server.pipeline().engine().fork_session(id, new_id, call.owner);
  std::lock_guard lock(server.sessions().mutex);
  if (auto session = server.sessions().find(call.owner, id, false))
    if (auto copy = server.sessions().find(call.owner, new_id, true)) copy->messages = session->messages;
  return respond_json({{"id", new_id}, {"object", "session"}, {"forked_from", id}});
}

std::unique_ptr<Responder> delete_route(ApiServer& server, const Call& call) {
  const std::string& id = call.params[0];
  bool known = false;
  {
    std::lock_guard lock(server.sessions().mutex);
    if (auto session = server.sessions().find(call.owner, id, false)) {
      known = true;
      session->ended = true;
      if (!session->busy) server.sessions().erase(call.owner, id);
    }
  }
  try {
    server.pipeline().engine().end_session(id, call.owner);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    if (!known) no_session(id);
  }
  return respond_json({{"id", id}, {"object", "session"}, {"deleted", true}});
}

// A session file under --sessions-dir: never a path that the request names.
std::string file_of(ApiServer& server, const Call& call) {
  const std::string& folder = server.config().sessions_dir;
  if (folder.empty())
    throw ApiError(400, "this server saves no sessions; --sessions-dir FOLDER lets it", "", "unsupported");
  const std::string& id = call.params[0];
  bool is_plain = !id.empty() && id.size() <= 128 &&
                  id.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
                      std::string::npos;
  if (!is_plain)
    bad_field("session_id", "expected letters, digits, - and _ in the id of a session that is saved");
  std::error_code wrong;
  std::filesystem::create_directories(folder, wrong);
  return (std::filesystem::path(folder) /
          fmt::format("{}-{:016x}.session", id, std::hash<std::string>{}(call.owner)))
      .string();
}

// Nothing but the model stands in the body, and it may be empty.
void take_model(ApiServer& server, const Call& call) {
  Json body = parse_optional_body(call);
  Fields f(body, call.schema);
  server.check_model(f);
  f.finish();
}

std::unique_ptr<Responder> save_route(ApiServer& server, const Call& call) {
  take_model(server, call);
  std::string path = file_of(server, call);
  server.pipeline().engine().save_session(call.params[0], call.owner, path);
  std::lock_guard lock(server.sessions().mutex);
  auto session = server.sessions().find(call.owner, call.params[0], false);
  AtomicFile file(path + ".json", {}, AtomicFile::kPrivate);
  file.write(dump_json(session ? messages_json(*session) : Json::array()));
  file.commit();
  return respond_json({{"id", call.params[0]}, {"object", "session"}, {"saved", true}});
}

std::unique_ptr<Responder> load_route(ApiServer& server, const Call& call) {
  take_model(server, call);
  std::string path = file_of(server, call);
  server.pipeline().engine().load_session(path, call.params[0], call.owner);
  Json messages = parse_json_file(path + ".json", 64 << 20, 8);
  std::lock_guard lock(server.sessions().mutex);
  auto session = server.sessions().find(call.owner, call.params[0], true);
  if (!session || session->busy)
    throw ApiError(409, "the session is answering", "session_id", "session_busy");
  session->messages.clear();
  for (const Json& message : messages)
    session->messages.push_back(Message::from_text(text_of(message, "role"), text_of(message, "content")));
  return respond_json({{"id", call.params[0]}, {"object", "session"}, {"loaded", true}});
}

}  // namespace

void add_session_routes(ApiServer& server) {
  auto add = [&server](const char* method, const char* path,
                       std::unique_ptr<Responder> (*route)(ApiServer&, const Call&), const char* summary) {
    server.routes().add(method, path, [&server, route](const Call& call) { return route(server, call); },
                        {false, false, summary});
  };
  add("GET", "/v1/sessions", list_route, "The caller's sessions");
  add("GET", "/v1/sessions/{id}", get_route, "A session's tokens and messages");
  add("DELETE", "/v1/sessions/{id}", delete_route, "Forget a session");
  add("POST", "/v1/sessions/{id}/fork", fork_route, "Copy a session under another id");
  add("POST", "/v1/sessions/{id}/save", save_route, "Write a session to the server's disk");
  add("POST", "/v1/sessions/{id}/load", load_route, "Read a saved session");
}

}  // namespace turgo
