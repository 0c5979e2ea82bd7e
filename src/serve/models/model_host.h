// One model of a server and its states: unloaded -> loading -> loaded -> asleep (weights dropped,
// conversations kept) -> loading …; failed = the last load threw, the next request tries again. What answers
// holds a reference to the model it began with, so a model that is unloaded lives until its last answer ends.
#pragma once

#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "serve/api_server.h"
#include "serve/grpc/grpc_api.h"
#include "serve/worker_threads.h"

namespace turgo {

enum class ModelState : uint8_t { kUnloaded, kLoading, kLoaded, kAsleep, kFailed };
const char* model_state_name(ModelState state);  // as llama.cpp's router says it

struct ModelSpec {
  std::string name, path;
  std::shared_ptr<const RemoteConfig> engine = nullptr;  // the model is there; path is its URL
};

class ModelHost {
 public:
  using Clock = std::chrono::steady_clock;
  struct Running {
    std::unique_ptr<Pipeline> pipeline;
    std::shared_ptr<ApiServer> api;  // outlives the pipeline through sleep
  };
  // Gets the model, which stays awake as long as it is held; nullptr if it can not be had.
  using Ready = std::function<void(std::shared_ptr<Running>)>;

  ModelHost(ModelSpec spec, PipelineConfig pipeline, ApiConfig api, std::shared_ptr<KeyRing> keys);
  ~ModelHost();

  const ModelSpec& spec() const { return spec_; }
  ModelState state() const;
  // Where requests for it are begun; nullptr: on the server's own workers.
  WorkerThreads* starters() { return starters_.get(); }
  std::string error() const;  // of the last load
  std::exception_ptr failure() const;
  // Of a model in an engine of its own: why no answer can be had, "" = it can. Begins to load what is not
  // loaded. Of other models "".
  std::string why_away();
  int64_t file_bytes() const { return file_bytes_; }
  double idle_seconds() const;  // since the last answer ended; 0 while one runs
  bool is_busy() const;
  // From now on, instead of the server's own limit: seconds without a request until it sleeps; < 0: never.
  void keep_alive(double seconds);
  double seconds_to_sleep(double default_limit) const;  // -1: never; default_limit 0 = none

  // What answers now, or nullptr. A look that is no use does not keep the model awake.
  std::shared_ptr<Running> running(bool is_use = true);
  // Begins to load on a thread of its own unless that is under way or done, and calls `ready` (from any
  // thread) when that has come to an end.
  void load(Ready ready, bool wakes = true);
  void unload();
  // False: answers are running. Explicit sleep lasts until load(); a request does not end it.
  bool sleep(bool is_explicit);
  bool needs_wake_up() const;

 private:
  void load_now();
  std::shared_ptr<Running> use();  // under mutex_

  ModelSpec spec_;
  PipelineConfig pipeline_config_;
  ApiConfig api_config_;
  std::shared_ptr<KeyRing> keys_;
  int64_t file_bytes_ = 0;

  mutable std::mutex mutex_;
  ModelState state_ = ModelState::kUnloaded;
  bool sleeps_until_woken_ = false;
  std::string error_;
  std::exception_ptr failure_;
  std::shared_ptr<Running> running_;
  std::shared_ptr<ApiServer> kept_;  // while asleep
  std::vector<Ready> waiting_;
  std::thread loader_;
  std::optional<double> keep_alive_;
  Clock::time_point last_used_ = Clock::now();
  std::unique_ptr<WorkerThreads> starters_;  // last: their jobs use all of the above
};

// Bytes of a model's file or of the files in its folder.
int64_t model_file_bytes(const std::string& path);

// Models in a folder: each GGUF file (of a split one the first part) and each subfolder with a config.json,
// by name. Throws Error{kNotFound}.
std::vector<ModelSpec> find_models(const std::string& folder);
std::string model_name_of(const std::string& path);  // file name without .gguf, or the folder's

}  // namespace turgo
