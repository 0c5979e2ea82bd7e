#include "serve/proxy/forward.h"

#include <algorithm>
#include <set>

#include "core/json.h"
#include "core/log.h"
#include "serve/api_error.h"
#include "serve/proxy/answer_check.h"

namespace turgo {
namespace {

constexpr size_t kMaxParsed = 1 << 20;  // larger JSON is not checked to be some
constexpr const char* kSessionLost =
    "the server that held this session is gone, and the session with it; begin it anew";
constexpr size_t kModelWithin = 4096;  // bytes that the answer's model stands in

Outcome blame(UpstreamFailure failure) {
  switch (failure) {
    case UpstreamFailure::kRefused:
      return Outcome::kRefused;
    case UpstreamFailure::kNodeDown:
    case UpstreamFailure::kOurs:
    case UpstreamFailure::kNone:
      return Outcome::kLeft;
    default:
      return Outcome::kBroken;
  }
}

class ForwardResponder : public Responder {
 public:
  ForwardResponder(ForwardContext& context, HttpRequest request, RequestFacts facts,
                   std::shared_ptr<Node> only)
      : context_(context), request_(std::move(request)), facts_(std::move(facts)), only_(std::move(only)) {
    body_ = request_.body.empty() && request_.method != "POST"
                ? nullptr
                : std::make_shared<const std::string>(std::move(request_.body));
    kind_ = facts_.is_stream ? AnswerKind::kStream : AnswerKind::kWhole;
  }

  ~ForwardResponder() override {
    if (call_) call_->abandon();
    settle(Outcome::kLeft);
  }

  void start(std::function<void()> wake) override {
    wake_ = std::move(wake);
    context_.budget.earn();
    was_pinned_ = facts_.session && context_.table.node_of_session(facts_.session);
    begin();
  }

  bool advance(HttpWriter& out) override {
    for (;;) {
      if (refusal_) return respond(out, std::move(*refusal_));
      if (call_->failure() != UpstreamFailure::kNone) {
        if (fail(out, blame(call_->failure()), call_->why())) return true;
        continue;
      }
      if (!call_->has_head()) return false;
      if (!is_judged_) judge_head();
      if (guard_) {
        if (auto ended = advance_stream(out)) return *ended;
      } else {
        if (auto ended = advance_whole(out)) return *ended;
      }
    }
  }

  bool interrupt(HttpWriter& out, int, const std::string& reason) override {
    if (!has_begun_) return false;
    out.write(guard_->broken(request_.path, reason));
    return true;
  }

 private:
  void begin();
  void send(std::shared_ptr<Node> node);
  void judge_head();
  std::optional<bool> advance_stream(HttpWriter& out);  // nothing: look again
  std::optional<bool> advance_whole(HttpWriter& out);
  std::string find_fault(std::string_view text) const;
  bool fail(HttpWriter& out, Outcome outcome, const std::string& why);
  bool try_another();
  bool respond(HttpWriter& out, HttpResponse response);
  void settle(Outcome outcome);
  void refuse(ApiError error) { refusal_ = error_response(error); }
  HttpHead head() const;
  void note_response_id(std::string_view text);

  ForwardContext& context_;
  HttpRequest request_;
  RequestFacts facts_;
  std::shared_ptr<Node> only_, node_;
  std::shared_ptr<const std::string> body_;
  AnswerKind kind_;
  std::function<void()> wake_;
  std::shared_ptr<UpstreamCall> call_;
  std::vector<NodeId> tried_;
  std::optional<HttpResponse> refusal_;
  std::optional<StreamGuard> guard_;  // the answer is a stream
  std::string text_;                  // of an answer that is none
  double began_at_ = 0;
  bool is_running_ = false;  // counted in node_'s load
  bool is_judged_ = false, has_begun_ = false, was_pinned_ = false;
};

void ForwardResponder::begin() {
  if (only_) {
    if (only_->state == NodeState::kDown)
      return refuse({503, "the server that holds this is down; try again later", "", "node_down"});
    return send(only_);
  }
  NodeTable::Choice choice = context_.table.choose(facts_, tried_, UpstreamPool::now());
  switch (choice.refusal) {
    case NodeTable::Refusal::kNone:
      return send(choice.node);
    case NodeTable::Refusal::kUnknownModel:
      return refuse({404,
                     fmt::format("the model {} is not served here; GET /v1/models lists those that are",
                                 quote(facts_.model)),
                     "model", "model_not_found"});
    case NodeTable::Refusal::kSessionLost:
      return refuse({503, kSessionLost, "session_id", "session_lost"});
    case NodeTable::Refusal::kNoneUp:
      return refuse({503,
                     fmt::format("no server of {} is up; try again later",
                                 facts_.model.empty() ? "any model" : quote(facts_.model)),
                     "model", "no_node"});
  }
}

void ForwardResponder::send(std::shared_ptr<Node> node) {
  node_ = std::move(node);
  UpstreamCall::Request upstream{request_.method, request_.target, end_to_end_fields(request_.fields, true),
                                 body_, false};
  if (!context_.node_api_key.empty()) {
    std::erase_if(upstream.fields,
                  [](const auto& f) { return f.first == "authorization" || f.first == "x-api-key"; });
    upstream.fields.emplace_back("Authorization", "Bearer " + context_.node_api_key);
  }
  std::erase_if(upstream.fields,
                [](const auto& f) { return f.first == "x-request-id" || f.first == "traceparent"; });
  if (!request_.request_id.empty()) upstream.fields.emplace_back("X-Request-Id", request_.request_id);
  if (!request_.trace.trace_id.empty())
    upstream.fields.emplace_back("traceparent", to_traceparent(request_.trace));
  is_judged_ = false;
  guard_.reset();
  text_.clear();
  began_at_ = UpstreamPool::now();
  is_running_ = true;
  context_.table.begin(*node_, kind_, began_at_);
  call_ = context_.pool.call(node_, std::move(upstream), wake_);
}

void ForwardResponder::judge_head() {
  is_judged_ = true;
  std::string_view type = call_->field("content-type");
  bool is_events = type.starts_with("text/event-stream");
  bool is_lines = type.starts_with("application/x-ndjson") || type.starts_with("application/jsonlines");
  if (call_->status() != 200 || (!is_events && !is_lines)) return;
  // LMDeploy calls the lines of an interactive chat events.
  bool is_interactive = request_.path == "/v1/chat/interactive" || request_.path == "/generate";
  guard_.emplace(is_lines || (is_interactive && facts_.is_stream && request_.path != "/generate")
                     ? StreamForm::kLines
                     : StreamForm::kEvents);
}

// What is wrong with the beginning of a good answer, "" = nothing.
std::string ForwardResponder::find_fault(std::string_view text) const {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return "it answered nothing";
  auto model = find_json_text(text.substr(0, kModelWithin), "model");
  if (!model || is_model(*model, facts_.model)) return "";
  ++context_.metrics.num_wrong_models;
  node_->wants_models = true;
  return fmt::format("it answered as {} and not as {}", quote(*model), quote(facts_.model));
}

std::optional<bool> ForwardResponder::advance_stream(HttpWriter& out) {
  bool is_done = call_->is_done();
  std::string text = guard_->pass(call_->take());
  if (is_done) text += guard_->rest();
  if (!has_begun_) {
    if (text.empty() && !is_done) return false;
    if (std::string fault = find_fault(text); !fault.empty()) {
      call_->abandon();
      if (fail(out, Outcome::kBroken, fault)) return true;
      return std::nullopt;
    }
    note_response_id(text);
    context_.table.answered(*node_, kind_, began_at_, UpstreamPool::now());
    ++context_.metrics.answers[{facts_.model, 200}];
    out.begin(head());
    has_begun_ = true;
  }
  out.write(text);
  if (is_done) settle(Outcome::kAnswered);
  return is_done;
}

std::optional<bool> ForwardResponder::advance_whole(HttpWriter& out) {
  bool is_done = call_->is_done();
  text_ += call_->take();
  if (text_.size() > context_.max_whole) {
    call_->abandon();
    if (fail(out, Outcome::kBroken, "its answer is too long")) return true;
    return std::nullopt;
  }
  if (!is_done) return false;
  int status = call_->status();
  bool is_json = call_->field("content-type").starts_with("application/json");
  if (status == 200) {
    std::string fault = find_fault(text_);
    if (fault.empty() && is_json && text_.size() <= kMaxParsed && !Json::accept(text_))
      fault = "what it answered is no JSON";
    if (!fault.empty()) {
      if (fail(out, Outcome::kBroken, fault)) return true;
      return std::nullopt;
    }
    note_response_id(text_);
    context_.table.answered(*node_, kind_, began_at_, UpstreamPool::now());
  }
  bool is_gone_model = status == 404 && text_.find("model_not_found") != std::string::npos;
  if (is_gone_model) node_->wants_models = true;
  bool is_busy = status == 503 || status == 429 || is_gone_model;
  settle(is_busy ? Outcome::kBusy : status >= 500 ? Outcome::kError : Outcome::kAnswered);
  HttpResponse response{head(), std::move(text_)};
  if (is_busy) {
    tried_.push_back(node_->id);
    if (try_another()) return std::nullopt;
  }
  return respond(out, std::move(response));
}

// Sends the request to a node that has not failed on it, if there is one.
bool ForwardResponder::try_another() {
  if (static_cast<int>(tried_.size()) >= context_.max_attempts || only_) return false;
  if (!was_pinned_ && facts_.is_stateful) context_.table.end_session(facts_.session);
  NodeTable::Choice choice = context_.table.choose(facts_, tried_, UpstreamPool::now());
  if (!choice.node || !context_.budget.take()) return false;
  ++context_.metrics.num_retries;
  send(choice.node);
  return true;
}

// True: the answer has ended with the failure. False: another node tries.
bool ForwardResponder::fail(HttpWriter& out, Outcome outcome, const std::string& why) {
  UpstreamFailure failure = call_->failure();
  log_warning("{} failed {}: {}", node_->spec.url, quote(request_.path), why);
  settle(outcome);
  if (has_begun_) {
    ++context_.metrics.num_broken_streams;
    out.write(guard_->broken(request_.path, "the server that answered has broken off"));
    return true;
  }
  tried_.push_back(node_->id);
  if (try_another()) return false;
  if (facts_.is_stateful && was_pinned_)
    refuse({503, kSessionLost, "session_id", "session_lost"});
  else if (failure == UpstreamFailure::kSilent)
    refuse({504, "the server did not answer in time", "", "upstream_timeout"});
  else if (outcome == Outcome::kBroken)
    refuse({502, "the server that was asked gave no proper answer", "", "upstream_failed"});
  else
    refuse({503, "no server can be reached; try again later", "", "upstream_down"});
  return respond(out, std::move(*refusal_));
}

bool ForwardResponder::respond(HttpWriter& out, HttpResponse response) {
  if (facts_.ends_session && facts_.session) context_.table.end_session(facts_.session);
  // Names that nobody serves are not counted by name: they are the callers' to choose.
  bool is_served = response.head.status != 404;
  ++context_.metrics.answers[{is_served ? facts_.model : "", response.head.status}];
  out.respond(std::move(response));
  return true;
}

void ForwardResponder::settle(Outcome outcome) {
  if (!is_running_) return;
  is_running_ = false;
  context_.table.finish(*node_, kind_, began_at_, outcome, UpstreamPool::now());
}

HttpHead ForwardResponder::head() const {
  return {call_->status(), std::string(call_->field("content-type")),
          end_to_end_fields(call_->fields(), false)};
}

// previous_response_id has to find the node that keeps the conversation.
void ForwardResponder::note_response_id(std::string_view text) {
  if (request_.path != "/v1/responses") return;
  auto id = find_json_text(text.substr(0, kModelWithin), "id");
  if (id && id->starts_with("resp_"))
    context_.table.pin_session(session_key("response", *id, facts_.caller), *node_);
}

}  // namespace

HttpFields end_to_end_fields(const HttpFields& fields, bool is_request) {
  static const std::set<std::string_view> kHop = {"connection",
                                                  "keep-alive",
                                                  "proxy-authenticate",
                                                  "proxy-authorization",
                                                  "proxy-connection",
                                                  "te",
                                                  "trailer",
                                                  "transfer-encoding",
                                                  "upgrade",
                                                  "content-length"};
  // The node's answer has to be readable here, and pages are the front server's matter. Cookies are nobody's.
  static const std::set<std::string_view> kRequest = {"host",   "expect",  "accept-encoding",
                                                      "origin", "referer", "cookie"};
  static const std::set<std::string_view> kAnswer = {"date", "server",       "content-type", "set-cookie",
                                                     "vary", "x-request-id", "traceresponse"};
  std::string named;  // by Connection
  for (const auto& [name, value] : fields)
    if (name == "connection") named += "," + value;
  named.erase(std::remove(named.begin(), named.end(), ' '), named.end());
  for (char& c : named) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  named += ",";
  HttpFields out;
  for (const auto& [name, value] : fields) {
    bool is_dropped = kHop.contains(name) || (is_request ? kRequest : kAnswer).contains(name) ||
                      name.starts_with("access-control-") ||
                      named.find("," + name + ",") != std::string::npos;
    bool is_plain = std::none_of(value.begin(), value.end(),
                                 [](unsigned char c) { return (c < ' ' && c != '\t') || c == 127; });
    if (!is_dropped && is_plain) out.emplace_back(name, value);
  }
  return out;
}

std::unique_ptr<Responder> forward(ForwardContext& context, HttpRequest request, RequestFacts facts,
                                   std::shared_ptr<Node> only) {
  return std::make_unique<ForwardResponder>(context, std::move(request), std::move(facts), std::move(only));
}

}  // namespace turgo
