#include "serve/models/model_router.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <set>

#include "core/log.h"
#include "engine/kv_pool.h"
#include "serve/elsewhere_responder.h"
#include "serve/models/prometheus_merge.h"
#include "serve/openapi/openapi.h"
#include "serve/web/web_routes.h"

namespace turgo {
namespace {

// Keeps the model that answers; forwards everything else.
class HeldResponder : public Responder {
 public:
  HeldResponder(std::shared_ptr<ModelHost::Running> model, std::unique_ptr<Responder> inner)
      : model_(std::move(model)), inner_(std::move(inner)) {}
  void start(std::function<void()> wake) override { inner_->start(std::move(wake)); }
  bool advance(HttpWriter& out) override { return inner_->advance(out); }
  bool interrupt(HttpWriter& out, int status, const std::string& reason) override {
    return inner_->interrupt(out, status, reason);
  }

 private:
  std::shared_ptr<ModelHost::Running> model_;  // destroyed after inner_
  std::unique_ptr<Responder> inner_;
};

// Waits until a model is loaded, without a thread.
class LoadingResponder : public Responder {
 public:
  using Model = std::shared_ptr<ModelHost::Running>;
  using Continue = std::function<std::unique_ptr<Responder>(Model)>;
  using Begin = std::function<void(ModelHost::Ready)>;
  LoadingResponder(Begin begin, Continue go_on) : begin_(std::move(begin)), continue_(std::move(go_on)) {}

  void start(std::function<void()> wake) override {
    wake_ = std::move(wake);
    begin_([got = got_, wake = wake_](Model model) {
      got->model = std::move(model);
      got->is_ready = true;
      wake();
    });
  }
  bool advance(HttpWriter& out) override {
    if (!inner_) {
      if (!got_->is_ready) return false;
      inner_ = continue_(std::move(got_->model));
      inner_->start(wake_);
    }
    return inner_->advance(out);
  }
  bool interrupt(HttpWriter& out, int status, const std::string& reason) override {
    return inner_ && inner_->interrupt(out, status, reason);
  }

 private:
  struct Got {
    Model model;  // written before is_ready is set
    std::atomic<bool> is_ready = false;
  };
  Begin begin_;
  Continue continue_;
  std::function<void()> wake_;
  std::shared_ptr<Got> got_ = std::make_shared<Got>();
  std::unique_ptr<Responder> inner_;
};

const std::set<std::string> kFrontRoutes = {"/livez", "/health", "/readyz", "/version"};

std::string query_value(const std::string& query, const std::string& name) {
  size_t at = ("&" + query).find("&" + name + "=");
  if (at == std::string::npos) return "";
  std::string value = query.substr(at + name.size() + 1);
  return value.substr(0, value.find('&'));
}

double parse_keep_alive(const Json& value) {
  std::string text = value.is_string() ? value.get<std::string>() : "";
  size_t used = std::min(text.find_first_not_of("-0123456789."), text.size());
  std::string unit = text.substr(used);
  double scale = unit == "h" ? 3600 : unit == "m" ? 60 : unit == "ms" ? 0.001 : 1;
  char* end = nullptr;
  double seconds = value.is_number() ? value.get<double>() : std::strtod(text.substr(0, used).c_str(), &end);
  bool is_good = value.is_number() || (used > 0 && *end == 0 && (scale != 1 || unit == "s" || unit.empty()));
  if (!is_good || !(seconds > -1e9 && seconds < 1e9))
    bad_field("keep_alive", "expected seconds or a time as 5m, got {}", shown(value));
  return seconds * scale;
}

// The body of a route about a model; host_of() reads which one.
void take_model_name(const Call& call) {
  Json body = parse_optional_body(call);
  Fields f(body, call.schema);
  std::string name;
  f.text("model", name);
  f.text("name", name);
  f.finish();
}

}  // namespace

ModelRouter::ModelRouter(std::vector<ModelSpec> models, RouterConfig config)
    : config_(std::move(config)),
      keys_(std::make_shared<KeyRing>(config_.api.api_keys, config_.api.api_keys_file)),
      front_(nullptr, config_.api, keys_) {
  if (config_.memory_bytes <= 0) config_.memory_bytes = available_memory_bytes() / 5 * 4;
  PipelineConfig pipeline = config_.pipeline;
  // The common plan: each model's share of the cache memory is its part of what all together may have.
  size_t at_once = config_.max_loaded > 0
                       ? std::min<size_t>(models.size(), static_cast<size_t>(config_.max_loaded))
                       : models.size();
  if (pipeline.cache_max_entry_count <= 1) pipeline.cache_max_entry_count /= static_cast<double>(at_once);
  for (ModelSpec& spec : models) {
    if (by_name_.contains(spec.name))
      fail(ErrorCode::kInvalidArgument, "two models are called {}; rename one's file or folder",
           quote(spec.name));
    hosts_.push_back(std::make_unique<ModelHost>(spec, pipeline, config_.api, keys_));
    by_name_[spec.name] = hosts_.back().get();
  }
  add_routes();
  add_ollama_routes();
  if (config_.has_page)
    for (RouteTable* table : {&own_, &front_.routes()}) add_web_routes(*table, config_.api.api_prefix);
  if (config_.idle_seconds > 0) begin_watching();
}

ModelRouter::~ModelRouter() {
  {
    std::lock_guard lock(idle_mutex_);
    stops_ = true;
  }
  stop_idle_.notify_all();
  if (idle_watcher_.joinable()) idle_watcher_.join();
}

void ModelRouter::begin_watching() {
  std::lock_guard lock(room_mutex_);
  if (!idle_watcher_.joinable()) idle_watcher_ = std::thread([this] { watch_idle(); });
}

void ModelRouter::watch_idle() {
  std::unique_lock lock(idle_mutex_);
  std::chrono::milliseconds pause(100);
  while (!stop_idle_.wait_for(lock, pause, [this] { return stops_; }))
    for (auto& host : hosts_)
      if (host->state() == ModelState::kLoaded && host->seconds_to_sleep(config_.idle_seconds) == 0 &&
          host->sleep(false))
        log_info("{} sleeps: nobody asked for it", host->spec().name);
}

void ModelRouter::set_readiness(std::function<bool()> is_draining) {
  front_.set_readiness([this, is_draining = std::move(is_draining)]() -> std::string {
    if (is_draining()) return "the server is shutting down";
    std::string why_away;
    for (auto& host : hosts_) {
      why_away = host->why_away();
      if (why_away.empty()) break;
    }
    return why_away;
  });
}

HttpHandler::Admission ModelRouter::admit(const HttpRequest& head) {
  return front_.admit(head);
}

HttpResponse ModelRouter::refuse(int status, const std::string& reason) {
  return front_.refuse(status, reason);
}

void ModelRouter::finished(const HttpLogEntry& entry) {
  front_.finished(entry);
}

ModelHost* ModelRouter::find(std::string name) {
  auto found = by_name_.find(name);
  if (found == by_name_.end() && name.ends_with(":latest"))  // as Ollama writes names
    found = by_name_.find(name.substr(0, name.size() - 7));
  return found == by_name_.end() ? nullptr : found->second;
}

ModelHost& ModelRouter::host_of(const HttpRequest& request) {
  std::string name = query_value(request.query, "model");
  // The only model's own routes check the name; a second parse is saved. Ollama's names have tags.
  if (name.empty() && hosts_.size() == 1 && request.path.find("/api/") == std::string::npos)
    return *hosts_[0];
  if (name.empty() && !request.body.empty()) {
    Json body = parse_body(request.body);
    for (const char* key : {"model", "name"})
      if (body.is_object() && body.contains(key) && body[key].is_string() && name.empty())
        name = body[key].get<std::string>();
  }
  if (name.empty()) return *hosts_[0];
  if (ModelHost* host = find(name)) return *host;
  std::string known;
  for (size_t i = 0; i < hosts_.size() && i < 10; ++i)
    known += (i ? ", " : "") + quote(hosts_[i]->spec().name);
  throw ApiError(404, fmt::format("the model {} is not served here; {} are", quote(name), known), "model",
                 "model_not_found");
}

// Ollama's keep_alive: seconds or a text as "5m"; 0 = sleep at once after this answer, below 0 = never.
void ModelRouter::take_keep_alive(ModelHost& host, const std::string& path, const HttpRequest& request) {
  if (!path.starts_with("/api/") || request.body.find("\"keep_alive\"") == std::string::npos) return;
  Json body = parse_body(request.body);
  if (!body.is_object() || !body.contains("keep_alive") || body["keep_alive"].is_null()) return;
  host.keep_alive(parse_keep_alive(body["keep_alive"]));
  begin_watching();
}

void ModelRouter::make_room(const ModelHost& host) {
  for (;;) {
    int64_t used = host.file_bytes();
    int32_t num_loaded = 1;
    ModelHost* oldest = nullptr;
    for (auto& other : hosts_) {
      ModelState state = other->state();
      if (other.get() == &host || (state != ModelState::kLoaded && state != ModelState::kLoading)) continue;
      used += other->file_bytes();
      ++num_loaded;
      if (state == ModelState::kLoaded && !other->is_busy() &&
          (!oldest || other->idle_seconds() > oldest->idle_seconds()))
        oldest = other.get();
    }
    bool fits =
        used <= config_.memory_bytes || num_loaded == 1;  // one alone: its own load says what is wrong
    if (fits && (config_.max_loaded <= 0 || num_loaded <= config_.max_loaded)) return;
    if (!oldest || !oldest->sleep(false))
      throw ApiError(503,
                     fmt::format("no room for {}: {} models are busy; try again later",
                                 quote(host.spec().name), num_loaded - 1),
                     "model", "model_overloaded");
    log_info("{} sleeps to make room for {}", oldest->spec().name, host.spec().name);
  }
}

void ModelRouter::begin_load(ModelHost& host, ModelHost::Ready ready, bool wakes) {
  std::lock_guard lock(room_mutex_);
  if (host.state() != ModelState::kLoaded && host.state() != ModelState::kLoading) make_room(host);
  host.load(std::move(ready), wakes);
}

void ModelRouter::load_and_wait(ModelHost& host) {
  std::mutex mutex;
  std::condition_variable changed;
  bool is_ready = false;
  begin_load(
      host,
      [&](const std::shared_ptr<ModelHost::Running>&) {
        std::lock_guard lock(mutex);
        is_ready = true;
        changed.notify_all();
      },
      true);
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return is_ready; });
  if (std::exception_ptr failure = host.failure()) std::rethrow_exception(failure);
}

std::unique_ptr<Responder> ModelRouter::handle(HttpRequest request) {
  const std::string& prefix = config_.api.api_prefix;
  std::string path = request.path.starts_with(prefix) ? request.path.substr(prefix.size()) : request.path;
  if (kFrontRoutes.contains(path)) return front_.handle(std::move(request));
  if (own_.match(path).find(request.method)) return front_.handle_with(own_, std::move(request));
  try {
    ModelHost& host = host_of(request);
    take_keep_alive(host, path, request);
    auto held = std::make_shared<HttpRequest>(std::move(request));
    auto answer = [&host, held](std::shared_ptr<ModelHost::Running> model) -> std::unique_ptr<Responder> {
      if (!model) {
        std::string why =
            host.needs_wake_up() ? "it sleeps; POST /wake_up wakes it" : without_folders(host.error());
        return respond_with(
            error_response({503, fmt::format("the model {} is not loaded: {}", quote(host.spec().name), why),
                            "model", "model_not_loaded"}));
      }
      auto begin = [model = std::move(model), held]() -> std::unique_ptr<Responder> {
        auto responder = model->api->handle(std::move(*held));
        return std::make_unique<HeldResponder>(model, std::move(responder));
      };
      return host.starters() ? respond_elsewhere(*host.starters(), std::move(begin)) : begin();
    };
    std::shared_ptr<ModelHost::Running> model = host.running();
    if (model || host.needs_wake_up()) return answer(std::move(model));
    // What answers finds its model loaded, and makes room before: a refusal is a plain 503.
    if (host.state() != ModelState::kLoading) {
      std::lock_guard lock(room_mutex_);
      make_room(host);
    }
    return std::make_unique<LoadingResponder>(
        [&host](ModelHost::Ready done) { host.load(std::move(done), false); }, answer);
  } catch (const ApiError& error) {
    HttpResponse response = error_response(error);
    if (path.starts_with("/api/")) response.body = dump_json({{"error", error.message}});
    return respond_with(std::move(response));
  }
}

Json ModelRouter::model_json(const ModelHost& host) const {
  return {{"id", host.spec().name},
          {"object", "model"},
          {"created", front_.started()},
          {"owned_by", "turgo"},
          {"root", host.spec().name},
          {"parent", nullptr},
          {"status", {{"value", model_state_name(host.state())}}},
          {"size", host.file_bytes()}};
}

std::string ModelRouter::metrics_text() {
  std::vector<std::string> texts;
  for (auto& host : hosts_)
    if (auto model = host->running(false))
      texts.push_back(model->api->metrics().model_text(model->pipeline->engine().stats()));
  return merge_prometheus(texts) + front_.metrics().server_text();
}

void ModelRouter::own(const char* method, const std::string& path, Route route, const RouteInfo& info) {
  own_.add(method, path, route, info);
  front_.routes().add(method, path, std::move(route), info);
}

void ModelRouter::add_routes() {
  auto list = [this](const Call&) {
    Json data = Json::array();
    for (auto& host : hosts_) data.push_back(model_json(*host));
    return respond_json({{"object", "list"}, {"data", std::move(data)}});
  };
  own("GET", "/v1/models", list, {false, true, "The models that are served", "ModelList"});
  own("GET", "/models", list, {false, true, "The models that are served, with their states", "ModelList"});
  own("GET", "/v1/models/{id*}",
      [this](const Call& call) {
        if (ModelHost* host = find(call.params[0])) return respond_json(model_json(*host));
        throw ApiError(404, fmt::format("the model {} is not served here", quote(call.params[0])), "model",
                       "model_not_found");
      },
      {false, true, "One model", "Model"});
  auto loads = [this](const Call& call) -> std::unique_ptr<Responder> {
    take_model_name(call);
    try {
      load_and_wait(host_of(call.request));
    } catch (const Error& error) {
      throw ApiError(500, without_folders(error.what()), "model", "model_load_failed");
    }
    return respond_json({{"success", true}});
  };
  // vLLM's parameters of its own sleep and wake_up are let pass: here all of a model's weights go or come.
  const std::vector<const char*> query = {"model", "level", "tags", "mode"};
  own("POST", "/models/load", loads, {false, false, "Load a model", "Success", "", query});
  own("POST", "/wake_up", loads, {false, false, "Load a sleeping model again", "Success", "", query});
  own("POST", "/models/unload",
      [this](const Call& call) {
        take_model_name(call);
        host_of(call.request).unload();
        return respond_json({{"success", true}});
      },
      {false, false, "Forget a model and its sessions", "Success", "", query});
  own("POST", "/sleep",
      [this](const Call& call) -> std::unique_ptr<Responder> {
        take_model_name(call);
        ModelHost& host = host_of(call.request);
        if (!host.sleep(true))
          throw ApiError(
              409,
              fmt::format("the model {} is {}; only an idle one can sleep", quote(host.spec().name),
                          host.is_busy() ? "answering" : model_state_name(host.state())),
              "model", "model_busy");
        return respond_json({{"success", true}});
      },
      {false, false, "Drop a model's weights, keep its sessions", "Success", "", query});
  own("GET", "/is_sleeping",
      [this](const Call& call) {
        return respond_json({{"is_sleeping", host_of(call.request).state() == ModelState::kAsleep}});
      },
      {false, true, "Whether a model sleeps", "", "", query});
  own("GET", "/metrics",
      [this](const Call&) {
        return respond_with({{200, "text/plain; version=0.0.4; charset=utf-8", {}}, metrics_text()});
      },
      {false, false, "Counters in Prometheus' text format", "text/plain"});
  add_description_routes(*this);
}

}  // namespace turgo
