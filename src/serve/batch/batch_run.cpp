#include "serve/batch/batch_run.h"

#include <deque>
#include <memory>
#include <unordered_set>

#include "core/bell.h"
#include "core/json.h"
#include "serve/fields.h"
#include "serve/generation.h"

namespace turgo {
namespace {

class Collected : public HttpWriter {
 public:
  void respond(HttpResponse response) override {
    status = response.head.status;
    body = std::move(response.body);
  }
  void begin(HttpHead head) override { status = head.status; }
  void write(std::string_view text) override { body += text; }
  int status = 0;
  std::string body;
};

struct Entry {
  std::string custom_id;
  std::unique_ptr<Responder> responder;  // nullptr: `result` is there
  Collected answer;
  std::string result;
  bool failed = false;
};

std::string result_line(const Json& custom_id, Json response, Json error) {
  return dump_json({{"id", random_id("batch_req_")},
                    {"custom_id", custom_id},
                    {"response", std::move(response)},
                    {"error", std::move(error)}});
}

HttpRequest read_line(const std::string& line, std::string& custom_id,
                      std::unordered_set<std::string>& known) {
  Json json = parse_body(line);
  Fields f(json);
  std::string method = "POST", url;
  f.need("custom_id", "a text that names the request");
  f.text("custom_id", custom_id);
  f.choice("method", method, {"POST"});
  f.need("url", "/v1/chat/completions");
  f.choice("url", url, {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"});
  const Json* body = f.need("body", "a request");
  f.finish();
  if (!known.insert(custom_id).second) bad_field("custom_id", "{} stands on two lines", quote(custom_id));
  if (body->is_object() && body->value("stream", Json()) == true)
    bad_field("body.stream", "an answer of a batch is no stream");
  HttpRequest request;
  request.method = method;
  request.target = request.path = url;
  request.body = dump_json(*body);
  return request;
}

void finish(Entry& entry) {
  entry.responder.reset();
  entry.failed = entry.answer.status != 200;
  Json body = Json::parse(entry.answer.body, nullptr, false);
  entry.result = result_line(entry.custom_id,
                             {{"status_code", entry.answer.status},
                              {"request_id", random_id("req_")},
                              {"body", body.is_discarded() ? Json(entry.answer.body) : std::move(body)}},
                             nullptr);
}

}  // namespace

BatchCounts run_batch(HttpHandler& handler, size_t at_once,
                      const std::function<std::optional<std::string>()>& next,
                      const std::function<void(const std::string&)>& done) {
  BatchCounts counts;
  auto bell = std::make_shared<Bell>();
  std::unordered_set<std::string> known;
  std::deque<Entry> entries;  // those in front are handed out as soon as they are there
  size_t num_running = 0;
  bool is_over = false;
  auto begin = [&](const std::string& line) {
    Entry& entry = entries.emplace_back();
    ++counts.num_requests;
    try {
      entry.responder = handler.handle(read_line(line, entry.custom_id, known));
      entry.responder->start([bell] { bell->ring(); });
      ++num_running;
    } catch (const ApiError& error) {
      entry.failed = true;
      entry.result = result_line(entry.custom_id.empty() ? Json(nullptr) : Json(entry.custom_id), nullptr,
                                 {{"code", error.code}, {"message", error.message}});
    }
  };
  while (!is_over || !entries.empty()) {
    // What waits to be handed out counts too: a slow answer in front holds no more than four batches back.
    while (!is_over && num_running < at_once && entries.size() < 4 * at_once) {
      std::optional<std::string> line = next();
      is_over = !line;
      if (line && line->find_first_not_of(" \t\r") != line->npos) begin(*line);
    }
    for (Entry& entry : entries)
      if (entry.responder && entry.responder->advance(entry.answer)) {
        finish(entry);
        --num_running;
      }
    bool moved = false;
    while (!entries.empty() && !entries.front().responder) {
      counts.num_failed += entries.front().failed;
      done(entries.front().result);
      entries.pop_front();
      moved = true;
    }
    bool has_room = !is_over && num_running < at_once && entries.size() < 4 * at_once;
    if (!entries.empty() && !moved && !has_room) bell->wait();
  }
  return counts;
}

}  // namespace turgo
