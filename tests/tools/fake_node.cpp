// A server without a model, for tests and benchmarks of the distributor: OpenAI's routes with made-up
// answers, a service time, parallel slots and a prefix cache that counts its hits.
//   fake_node --port 0 --model small --name n1 --delay-ms 5 --slots 4 --prefill-us 100 --cache-chunks 2000
// Prints "listening on PORT". GET /stats tells what came; --claim makes the answers name another model.
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "core/error.h"
#include "core/json.h"
#include "serve/api_error.h"
#include "serve/http/http_server.h"
#include "serve/proxy/request_facts.h"

namespace turgo {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Calls wakers when their time has come.
class Alarm {
 public:
  Alarm() : thread_([this] { work(); }) {}
  ~Alarm() {
    {
      std::lock_guard lock(mutex_);
      stops_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  void at(double time, std::function<void()> wake) {
    std::lock_guard lock(mutex_);
    queue_.emplace(time, std::move(wake));
    changed_.notify_all();
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (!stops_) {
      if (queue_.empty()) {
        changed_.wait(lock);
        continue;
      }
      auto first = queue_.begin();
      if (first->first > now()) {
        changed_.wait_for(lock, std::chrono::duration<double>(first->first - now()));
        continue;
      }
      auto wake = std::move(first->second);
      queue_.erase(first);
      lock.unlock();
      wake();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<double, std::function<void()>> queue_;
  bool stops_ = false;
  std::thread thread_;
};

// Which beginnings of prompts are known, the youngest kept.
class PrefixCache {
 public:
  explicit PrefixCache(size_t capacity) : capacity_(capacity) {}
  size_t look_up(const std::vector<uint64_t>& chain) {
    size_t hits = 0;
    while (hits < chain.size() && places_.contains(chain[hits])) ++hits;
    for (uint64_t key : chain) touch(key);
    return hits;
  }

 private:
  void touch(uint64_t key) {
    if (auto found = places_.find(key); found != places_.end()) order_.erase(found->second);
    order_.push_front(key);
    places_[key] = order_.begin();
    if (order_.size() <= capacity_) return;
    places_.erase(order_.back());
    order_.pop_back();
  }
  size_t capacity_;
  std::list<uint64_t> order_;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> places_;
};

struct Settings {
  std::string address = "127.0.0.1", name = "node", claim;
  std::vector<std::string> models;
  int port = 0, slots = 1 << 20, tokens = 8;
  double delay_ms = 0, token_ms = 0, prefill_us = 0;
  size_t cache_chunks = 1 << 20;
};

// An answer at its time, or a stream of events.
class TimedResponder : public Responder {
 public:
  TimedResponder(Alarm& alarm, double due, double step, std::vector<std::string> pieces, bool is_stream)
      : alarm_(alarm), due_(due), step_(step), pieces_(std::move(pieces)), is_stream_(is_stream) {}
  void start(std::function<void()> wake) override {
    wake_ = std::move(wake);
    if (due_ > now()) alarm_.at(due_, wake_);
  }
  bool advance(HttpWriter& out) override {
    while (next_ < pieces_.size() && due_ <= now()) {
      if (!is_stream_) {
        out.respond({{}, pieces_[0]});
        return true;
      }
      if (next_ == 0) out.begin({200, "text/event-stream", {}});
      out.write(pieces_[next_++]);
      due_ += step_;
    }
    if (next_ == pieces_.size()) return true;
    alarm_.at(due_, wake_);
    return false;
  }

 private:
  Alarm& alarm_;
  double due_, step_;
  std::vector<std::string> pieces_;
  bool is_stream_;
  size_t next_ = 0;
  std::function<void()> wake_;
};

class FakeNode : public HttpHandler {
 public:
  explicit FakeNode(Settings settings)
      : settings_(std::move(settings)),
        cache_(settings_.cache_chunks),
        free_at_(static_cast<size_t>(std::min(settings_.slots, 4096)), 0.0) {}

  Admission admit(const HttpRequest&) override { return {std::nullopt, 64 << 20, true}; }
  HttpResponse refuse(int status, const std::string& reason) override {
    return error_response({status, reason});
  }

  std::unique_ptr<Responder> handle(HttpRequest request) override {
    if (request.path == "/health") return respond_with({{}, "{\"status\": \"ok\"}"});
    if (request.path == "/stats") return respond_with({{}, stats()});
    if (request.path == "/v1/models") {
      Json data = Json::array();
      for (const std::string& model : settings_.models) data.push_back({{"id", model}, {"object", "model"}});
      return respond_with({{}, Json{{"object", "list"}, {"data", data}}.dump()});
    }
    try {
      return answer(request);
    } catch (const ApiError& error) {
      return respond_with(error_response(error));
    }
  }

 private:
  std::unique_ptr<Responder> answer(const HttpRequest& request) {
    RequestFacts facts = read_request_facts(request);
    if (!facts.model.empty() &&
        std::find(settings_.models.begin(), settings_.models.end(), facts.model) == settings_.models.end())
      throw ApiError(404, "no such model", "model", "model_not_found");
    size_t hits = cache_.look_up(facts.chain);
    ++num_requests_;
    num_chunks_ += facts.chain.size();
    num_hits_ += hits;
    double prefill = settings_.prefill_us * 1e-6 * static_cast<double>(facts.chain.size() - hits);
    double step = settings_.token_ms * 1e-3;
    double service = settings_.delay_ms * 1e-3 + prefill + (facts.is_stream ? step * settings_.tokens : 0);
    auto slot = std::min_element(free_at_.begin(), free_at_.end());
    double begin = std::max(now(), *slot);
    if (service > 0) *slot = begin + service;
    std::string model = settings_.claim.empty() ? facts.model : settings_.claim;
    std::vector<std::string> pieces;
    if (!facts.is_stream) {
      pieces.push_back(Json{{"id", "x"},
                            {"object", "text_completion"},
                            {"model", model},
                            {"node", settings_.name},
                            {"choices", {{{"index", 0}, {"text", "ok"}, {"finish_reason", "stop"}}}}}
                           .dump());
      return std::make_unique<TimedResponder>(alarm_, service > 0 ? begin + service : 0, 0, std::move(pieces),
                                              false);
    }
    for (int i = 0; i < settings_.tokens; ++i)
      pieces.push_back("data: " +
                       Json{{"id", "x"},
                            {"model", model},
                            {"node", settings_.name},
                            {"choices", {{{"index", 0}, {"text", "a"}}}}}
                           .dump() +
                       "\n\n");
    pieces.push_back("data: [DONE]\n\n");
    return std::make_unique<TimedResponder>(alarm_, begin + settings_.delay_ms * 1e-3 + prefill, step,
                                            std::move(pieces), true);
  }

  std::string stats() const {
    return Json{
        {"name", settings_.name}, {"requests", num_requests_}, {"chunks", num_chunks_}, {"hits", num_hits_}}
        .dump();
  }

  Settings settings_;
  PrefixCache cache_;
  std::vector<double> free_at_;  // per slot
  Alarm alarm_;
  size_t num_requests_ = 0, num_chunks_ = 0, num_hits_ = 0;
};

int run(int argc, char** argv) {
  Settings s;
  std::map<std::string, std::string> given;
  for (int i = 1; i + 1 < argc; i += 2) given[argv[i]] = argv[i + 1];
  auto text = [&](const char* name, std::string& to) {
    if (given.contains(name)) to = given[name];
  };
  auto number = [&](const char* name, auto& to) {
    if (given.contains(name))
      to = static_cast<std::remove_reference_t<decltype(to)>>(std::atof(given[name].c_str()));
  };
  std::string models = "fake";
  text("--model", models);
  for (size_t at = 0; at <= models.size();) {
    size_t end = std::min(models.find(',', at), models.size());
    s.models.push_back(models.substr(at, end - at));
    at = end + 1;
  }
  text("--address", s.address);
  text("--name", s.name);
  text("--claim", s.claim);
  number("--port", s.port);
  number("--slots", s.slots);
  number("--tokens", s.tokens);
  number("--delay-ms", s.delay_ms);
  number("--token-ms", s.token_ms);
  number("--prefill-us", s.prefill_us);
  number("--cache-chunks", s.cache_chunks);
  HttpServerConfig http;
  http.address = s.address;
  http.port = s.port;
  http.num_workers = 1;
  http.handle_signals = true;
  FakeNode node(s);
  auto server = HttpServer::listen(http, node);
  std::printf("listening on %d\n", server->port());
  std::fflush(stdout);
  server->run();
  return 0;
}

}  // namespace
}  // namespace turgo

int main(int argc, char** argv) {
  try {
    return turgo::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake_node: %s\n", error.what());
    return 1;
  }
}
