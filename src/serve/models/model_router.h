// Several models behind one address: finds the model that a request names, loads it if it has to, and hands
// the request to that model's ApiServer. Idle models fall asleep or give way when the memory plan needs their
// room. Routes of its own: /v1/models, /models, /models/load|unload, /sleep, /wake_up, /is_sleeping,
// /metrics.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "serve/models/model_host.h"

namespace turgo {

struct RouterConfig {
  ApiConfig api;
  PipelineConfig pipeline;
  double idle_seconds = 0;   // > 0: an idle model sleeps after it
  int32_t max_loaded = 0;    // 0 = as many as the memory holds
  int64_t memory_bytes = 0;  // of all models' weights together; 0 = 0.8 of what is available at the start
  bool has_page = true;      // the web page at /
};

class ModelRouter : public HttpHandler {
 public:
  // The first model is the one that requests without a name mean.
  ModelRouter(std::vector<ModelSpec> models, RouterConfig config);
  ~ModelRouter() override;

  Admission admit(const HttpRequest& head) override;
  std::unique_ptr<Responder> handle(HttpRequest request) override;
  HttpResponse refuse(int status, const std::string& reason) override;
  void finished(const HttpLogEntry& entry) override;

  // Ready is who is not draining and can answer for at least one model.
  void set_readiness(std::function<bool()> is_draining);
  ApiServer& front() { return front_; }
  // A route that needs no model to be loaded.
  void own(const char* method, const std::string& path, Route route, const RouteInfo& info);
  const std::vector<std::unique_ptr<ModelHost>>& hosts() const { return hosts_; }
  // Blocks. Throws what Pipeline::open throws, ApiError 503 where there is no room.
  void load_and_wait(ModelHost& host);
  // Begins to load, after making room. Throws ApiError 503 where there is none.
  void begin_load(ModelHost& host, ModelHost::Ready ready, bool wakes);

 private:
  void add_routes();
  void add_ollama_routes();
  void take_keep_alive(ModelHost& host, const std::string& path, const HttpRequest& request);
  ModelHost& host_of(const HttpRequest& request);  // by "model" in body or query; throws ApiError 404
  ModelHost* find(std::string name);
  void make_room(const ModelHost& host);
  void watch_idle();
  void begin_watching();
  Json model_json(const ModelHost& host) const;
  std::string metrics_text();

  RouterConfig config_;
  std::shared_ptr<KeyRing> keys_;
  ApiServer front_;  // admits, and answers what needs no model
  std::vector<std::unique_ptr<ModelHost>> hosts_;
  std::map<std::string, ModelHost*> by_name_;
  RouteTable own_;
  std::mutex room_mutex_;  // one load makes room at a time
  std::mutex idle_mutex_;
  std::condition_variable stop_idle_;
  bool stops_ = false;
  std::thread idle_watcher_;  // begun with the first time limit; guarded by room_mutex_
};

}  // namespace turgo
