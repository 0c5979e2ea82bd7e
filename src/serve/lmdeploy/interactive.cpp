// POST /v1/chat/interactive: LMDeploy 0.3.0's stateful chat. interactive_mode keeps the session under its id;
// the next call brings only the new turn. A stream is JSON per line.
#include "serve/api_server.h"

namespace turgo {
namespace {

struct InteractiveRequest {
  GenerationConfig generation;
  std::vector<Message> messages;
  int64_t session_id = -1;
  int32_t output_len = -1;
  bool keeps_session = false, streams = false, cancels = false;
};

Message read_message(Fields& f) {
  std::string role, text;
  f.need("role", "system, user or assistant");
  f.choice("role", role, {"system", "user", "assistant"});
  f.text("content", text);
  f.finish();
  return Message::from_text(role, text);
}

std::vector<Message> read_prompt(const Json* prompt) {
  if (!prompt) bad_field("prompt", "is missing; expected a text or a list of messages");
  if (prompt->is_string()) {
    std::string text = prompt->get<std::string>();
    return text.empty() ? std::vector<Message>{} : std::vector<Message>{Message::from_text("user", text)};
  }
  std::vector<Message> out;
  if (!prompt->is_array())
    bad_field("prompt", "expected a text or a list of messages, got {}", shown(*prompt));
  for (const Json& one : *prompt) {
    Fields f(one, "prompt.");
    out.push_back(read_message(f));
  }
  return out;
}

Json prompt_schema() {
  Json message = Fields::schema_of([](Fields& f) { read_message(f); });
  return {{"anyOf", Json::array({{{"type", "string"}}, {{"type", "array"}, {"items", std::move(message)}}})}};
}

InteractiveRequest read_request(ApiServer& server, const Call& call) {
  Json body = parse_body(call.request.body);
  Fields f(body, call.schema);
  InteractiveRequest r;
  server.check_model(f);
  f.integer("session_id", r.session_id, int64_t{-1}, INT64_MAX);
  f.flag("interactive_mode", r.keeps_session);
  f.flag("stream", r.streams);
  f.flag("cancel", r.cancels);
  f.integer("request_output_len", r.output_len, 0, INT32_MAX);
  f.refuse("adapter_name", "", "adapters are not built yet");
  f.refuse("image_url", "", "images are not built yet");
  take_sampling(f, r.generation, server.vocab_size());
  const Json* prompt = f.take("prompt", prompt_schema);
  f.finish();
  if (!r.cancels) r.messages = read_prompt(prompt);
  r.generation.max_new_tokens = r.output_len < 0 ? INT32_MAX : r.output_len;
  if (r.keeps_session && r.session_id < 0) bad_field("interactive_mode", "needs a session_id of 0 or more");
  return r;
}

Json answer_json(const std::string& text, size_t tokens, int64_t input, int64_t history, Json finish) {
  return {{"text", text},
          {"tokens", tokens},
          {"input_tokens", input},
          {"history_tokens", history},
          {"finish_reason", std::move(finish)}};
}

void end_engine_session(ApiServer& server, const std::string& id, const std::string& owner) {
  try {
    server.pipeline().engine().end_session(id, owner);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
  }
}

class InteractiveFormatter : public AnswerFormat {
 public:
  InteractiveFormatter(ApiServer& server, std::shared_ptr<InteractiveSession> session, SessionRef ref,
                       size_t num_before, bool keeps, int64_t history)
      : server_(server),
        session_(std::move(session)),
        ref_(std::move(ref)),
        num_before_(num_before),
        keeps_(keeps),
        history_(history) {}

  std::string content_type() const override { return "application/x-ndjson"; }
  std::string piece(const std::vector<Choice>& choices, size_t, const TextEvent& event) override {
    num_tokens_ += event.tokens.size();
    return line(choices[0], event.text, event.finish);
  }
  std::string failure(const ApiError& error) override { return error_json(error) + "\n"; }
  bool ends_quietly() const override { return true; }
  std::string whole(const std::vector<Choice>& choices) override {
    num_tokens_ = choices[0].tokens.size();
    return line(choices[0], choices[0].text, choices[0].finish);
  }

  // On the I/O thread: the engine's session is ended by what is left of the request, never waited for.
  void closed(const std::vector<Choice>& choices) override {
    if (!session_) return;
    std::lock_guard lock(server_.sessions().mutex);
    const Choice& choice = choices[0];
    session_->busy = false;
    bool failed = choice.finish == FinishReason::kError || choice.finish == FinishReason::kTimeout;
    if (failed)
      session_->messages.resize(num_before_);
    else
      session_->messages.push_back(Message::from_text("assistant", choice.text));
    if (keeps_ && !session_->ended) return;
    server_.sessions().erase(ref_.owner, ref_.id);
    if (choice.finish != FinishReason::kNone) end_engine_session(server_, ref_.id, ref_.owner);
  }

 private:
  std::string line(const Choice& choice, const std::string& text, FinishReason finish) const {
    int64_t input = choice.stream.num_input_tokens() - history_;
    Json reason = finish == FinishReason::kNone ? Json(nullptr) : Json(openai_finish(finish));
    return dump_json(answer_json(text, num_tokens_, input, history_, std::move(reason))) + "\n";
  }

  ApiServer& server_;
  std::shared_ptr<InteractiveSession> session_;
  SessionRef ref_;
  size_t num_before_, num_tokens_ = 0;
  bool keeps_;
  int64_t history_;
};

std::unique_ptr<Responder> end_or_cancel(ApiServer& server, const SessionRef& ref, bool forgets) {
  {
    std::lock_guard lock(server.sessions().mutex);
    auto session = server.sessions().find(ref.owner, ref.id, false);
    if (session && forgets) {
      session->ended = true;
      if (!session->busy) server.sessions().erase(ref.owner, ref.id);
    }
  }
  end_engine_session(server, ref.id, ref.owner);
  return respond_json(answer_json("", 0, 0, 0, "stop"));
}

int64_t known_tokens(ApiServer& server, const SessionRef& ref) {
  try {
    return static_cast<int64_t>(server.pipeline().engine().session_tokens(ref.id, ref.owner).size());
  } catch (const Error&) {
    return 0;
  }
}

}  // namespace

std::unique_ptr<Responder> chat_interactive(ApiServer& server, const Call& call) {
  InteractiveRequest r = read_request(server, call);
  SessionRef ref{r.session_id < 0 ? "" : std::to_string(r.session_id), call.owner};
  if (r.cancels) {
    if (ref.id.empty()) bad_field("session_id", "is needed to cancel");
    return end_or_cancel(server, ref, false);
  }
  if (r.messages.empty()) {
    if (ref.id.empty() || r.keeps_session) bad_field("prompt", "is empty");
    return end_or_cancel(server, ref, true);
  }
  std::shared_ptr<InteractiveSession> session;
  std::vector<Message> all = r.messages;
  size_t num_before = 0;
  std::optional<InteractiveSessions::Key> forgotten;
  if (!ref.id.empty()) {
    std::lock_guard lock(server.sessions().mutex);
    session = server.sessions().find(ref.owner, ref.id, false);
    if (!session) {
      forgotten = server.sessions().make_room();
      session = server.sessions().find(ref.owner, ref.id, true);
    }
    if (!session)
      throw ApiError(429, "too many sessions answer at once; end some", "session_id", "too_many_sessions");
    if (session->busy)
      throw ApiError(409, "the session is answering another request; wait for its end or cancel it",
                     "session_id", "session_busy");
    num_before = session->messages.size();
    session->messages.insert(session->messages.end(), r.messages.begin(), r.messages.end());
    all = session->messages;
    session->busy = true;
    session->ended = false;
  }
  int64_t history = ref.id.empty() ? 0 : known_tokens(server, ref);
  auto format =
      std::make_unique<InteractiveFormatter>(server, session, ref, num_before, r.keeps_session, history);
  try {
    if (forgotten) end_engine_session(server, forgotten->second, forgotten->first);
    std::vector<int32_t> ids = server.pipeline().chat_tokens(all);
    std::vector<Choice> choices;
    choices.push_back(server.submit(std::move(ids), r.generation, ref, true, "prompt"));
    return respond_with_answers(std::move(choices), std::move(format), r.streams, server.metrics());
  } catch (const std::exception& error) {
    if (session) {
      std::lock_guard lock(server.sessions().mutex);
      session->messages.resize(num_before);
      session->busy = false;
      if (num_before == 0) server.sessions().erase(ref.owner, ref.id);
    }
    const auto* api = dynamic_cast<const ApiError*>(&error);
    // LMDeploy's answer to what the context does not hold.
    if (api && api->code == "context_length_exceeded")
      return respond_json(answer_json("", 0, 0, history, "length"));
    throw;
  }
}

void add_lmdeploy_routes(ApiServer& server) {
  server.post("/v1/chat/interactive", chat_interactive, "Stateful chat (LMDeploy)", "InteractiveAnswer",
              "application/x-ndjson");
  server.post("/v1/encode", encode_route, "Text to token ids (LMDeploy)", "Encoded");
}

}  // namespace turgo
