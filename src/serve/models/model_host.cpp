#include "serve/models/model_host.h"

#include <malloc.h>

#include <algorithm>
#include <filesystem>

#include "core/log.h"

namespace turgo {

namespace fs = std::filesystem;

const char* model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kLoading:
      return "loading";
    case ModelState::kLoaded:
      return "loaded";
    case ModelState::kAsleep:
      return "sleeping";
    case ModelState::kFailed:
      return "failed";
    default:
      return "unloaded";
  }
}

int64_t model_file_bytes(const std::string& path) {
  std::error_code wrong;
  if (!fs::is_directory(path, wrong)) {
    auto size = fs::file_size(path, wrong);
    return wrong ? 0 : static_cast<int64_t>(size);
  }
  int64_t sum = 0;
  for (const auto& entry : fs::directory_iterator(path, wrong)) {
    std::string extension = entry.path().extension();
    if (extension == ".safetensors" || extension == ".gguf" || extension == ".bin")
      sum += static_cast<int64_t>(entry.file_size(wrong));
  }
  return sum;
}

std::string model_name_of(const std::string& model) {
  fs::path path(model);
  if (!path.has_filename()) path = path.parent_path();
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

std::vector<ModelSpec> find_models(const std::string& folder) {
  std::error_code wrong;
  std::vector<ModelSpec> out;
  fs::directory_iterator entries(folder, wrong);
  if (wrong) fail(ErrorCode::kNotFound, "--models-dir {}: {}", quote(folder, 200), wrong.message());
  for (const auto& entry : entries) {
    std::string name = entry.path().filename();
    size_t part = name.rfind("-of-");
    bool is_later_part = part != std::string::npos && part >= 5 && name.substr(part - 5, 5) != "00001";
    bool is_gguf = entry.path().extension() == ".gguf" && entry.is_regular_file(wrong) && !is_later_part;
    if (is_gguf || (entry.is_directory(wrong) && fs::exists(entry.path() / "config.json", wrong)))
      out.push_back({model_name_of(entry.path()), entry.path()});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  if (out.empty())
    fail(ErrorCode::kNotFound, "--models-dir {}: expected GGUF files or model folders, found none",
         quote(folder, 200));
  return out;
}

ModelHost::ModelHost(ModelSpec spec, PipelineConfig pipeline, ApiConfig api, std::shared_ptr<KeyRing> keys)
    : spec_(std::move(spec)),
      pipeline_config_(std::move(pipeline)),
      api_config_(std::move(api)),
      keys_(std::move(keys)),
      file_bytes_(spec_.engine ? 0 : model_file_bytes(spec_.path)) {
  api_config_.model_name = spec_.name;
  if (spec_.engine) starters_ = std::make_unique<WorkerThreads>(4);  // as many as the server has workers
}

ModelHost::~ModelHost() {
  starters_.reset();
  if (loader_.joinable()) loader_.join();
}

ModelState ModelHost::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

std::string ModelHost::error() const {
  std::lock_guard lock(mutex_);
  return error_;
}

bool ModelHost::is_busy() const {
  std::lock_guard lock(mutex_);
  return running_.use_count() > 1;
}

std::exception_ptr ModelHost::failure() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

std::string ModelHost::why_away() {
  if (!spec_.engine) return "";
  if (auto model = running(false)) return model->pipeline->engine().why_away();
  if (needs_wake_up()) return "";
  std::string why = error();
  load(nullptr, false);
  return why.empty() ? fmt::format("the engine at {} is being asked for its model", spec_.path) : why;
}

double ModelHost::idle_seconds() const {
  std::lock_guard lock(mutex_);
  if (running_.use_count() > 1) return 0;
  return std::chrono::duration<double>(Clock::now() - last_used_).count();
}

std::shared_ptr<ModelHost::Running> ModelHost::running(bool is_use) {
  std::lock_guard lock(mutex_);
  return is_use ? use() : running_;
}

std::shared_ptr<ModelHost::Running> ModelHost::use() {
  last_used_ = Clock::now();
  if (!running_) return nullptr;
  // The clock of idleness starts when the last answer lets go.
  return {running_.get(), [this, held = running_](Running*) mutable {
            {
              std::lock_guard again(mutex_);
              last_used_ = Clock::now();
            }
            held.reset();
          }};
}

void ModelHost::keep_alive(double seconds) {
  std::lock_guard lock(mutex_);
  keep_alive_ = seconds;
}

double ModelHost::seconds_to_sleep(double default_limit) const {
  double limit = default_limit > 0 ? default_limit : -1, idle = idle_seconds();
  std::lock_guard lock(mutex_);
  if (keep_alive_) limit = *keep_alive_;
  if (limit < 0) return -1;
  if (running_.use_count() > 1) return limit + 1;  // it answers
  return std::max(limit - idle, 0.0);
}

bool ModelHost::needs_wake_up() const {
  std::lock_guard lock(mutex_);
  return state_ == ModelState::kAsleep && sleeps_until_woken_;
}

void ModelHost::load(Ready ready, bool wakes) {
  std::shared_ptr<Running> model;
  {
    std::lock_guard lock(mutex_);
    if (state_ != ModelState::kLoaded && !(state_ == ModelState::kAsleep && sleeps_until_woken_ && !wakes)) {
      if (ready) waiting_.push_back(std::move(ready));
      if (state_ == ModelState::kLoading) return;
      state_ = ModelState::kLoading;
      sleeps_until_woken_ = false;
      // The last loader has set its state: only its last lines are left, which may want the mutex.
      loader_ = std::thread([this, last = std::move(loader_)]() mutable {
        if (last.joinable()) last.join();
        load_now();
      });
      return;
    }
    if (ready) model = use();
  }
  if (ready) ready(std::move(model));
}

void ModelHost::load_now() {
  auto running = std::make_shared<Running>();
  std::string error;
  std::exception_ptr failure;
  try {
    running->pipeline = spec_.engine ? open_remote(*spec_.engine, pipeline_config_)
                                     : Pipeline::open(spec_.path, pipeline_config_);
    std::lock_guard lock(mutex_);
    running->api = kept_ ? std::move(kept_) : std::make_shared<ApiServer>(nullptr, api_config_, keys_);
    kept_.reset();
    running->api->set_pipeline(running->pipeline.get());
  } catch (const std::exception& thrown) {
    error = thrown.what();
    failure = std::current_exception();
    log_info("{}: {}", spec_.name, error);
  }
  std::vector<Ready> waiting;
  std::shared_ptr<Running> model;
  {
    std::lock_guard lock(mutex_);
    error_ = error;
    failure_ = failure;
    state_ = error.empty() ? ModelState::kLoaded : ModelState::kFailed;
    if (error.empty()) running_ = std::move(running);
    last_used_ = Clock::now();
    waiting = std::move(waiting_);
    waiting_.clear();
    if (!waiting.empty() && error.empty()) model = use();
  }
  for (Ready& ready : waiting) ready(model);
}

void ModelHost::unload() {
  std::shared_ptr<Running> dropped;
  std::shared_ptr<ApiServer> kept;
  {
    std::lock_guard lock(mutex_);
    if (state_ == ModelState::kLoading) return;
    dropped = std::move(running_);
    kept = std::move(kept_);
    state_ = ModelState::kUnloaded;
    sleeps_until_woken_ = false;
  }
  kept.reset();
  dropped.reset();
  malloc_trim(0);  // glibc keeps what a model's many small pieces left
}

bool ModelHost::sleep(bool is_explicit) {
  std::shared_ptr<Running> dropped;
  {
    std::lock_guard lock(mutex_);
    if (state_ == ModelState::kAsleep) {
      sleeps_until_woken_ |= is_explicit;
      return true;
    }
    if (state_ != ModelState::kLoaded || running_.use_count() > 1) return false;
    dropped = std::move(running_);
    dropped->api->set_pipeline(nullptr);
    kept_ = dropped->api;
    state_ = ModelState::kAsleep;
    sleeps_until_woken_ = is_explicit;
  }
  dropped.reset();
  malloc_trim(0);
  return true;
}

}  // namespace turgo
