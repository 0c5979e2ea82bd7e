// A server's connection to an engine in another process, and what is known of it: a thread asks its health
// twice a second. The channel connects again by itself.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <grpc/health/v1/health.grpc.pb.h>
#include <turgo/v1/engine.grpc.pb.h>
#include "serve/grpc/grpc_api.h"

namespace turgo {

class EngineLink {
 public:
  // Does not connect yet. Throws Error{kInvalidArgument, kNotFound}.
  explicit EngineLink(const RemoteConfig& config);
  ~EngineLink();

  const std::string& where() const { return where_; }  // HOST:PORT
  turgo::v1::Engine::Stub& stub() { return *stub_; }
  // The key, and a deadline; 0 = none.
  void prepare(grpc::ClientContext& context, double seconds) const;
  // One call and its answer. Throws as throw_status().
  template <class Request, class Answer>
  void call(grpc::Status (turgo::v1::Engine::Stub::*method)(grpc::ClientContext*, const Request&, Answer*),
            const Request& request, Answer& answer, double seconds = 10) {
    require_up();
    grpc::ClientContext context;
    prepare(context, seconds);
    settle((stub_.get()->*method)(&context, request, &answer));
  }
  void settle(const grpc::Status& status);  // notes what a status says about the engine; throws if it is none

  // Begins to watch: from now on an engine that is away, drains, or serves another model than `model_id` is
  // known within about a second of its end, four of its silence.
  void watch(std::string model_id, std::string run_id);
  std::string why_away() const;  // "": it can be reached
  void require_up() const;       // throws EngineAway
  void heard() { last_heard_ = Clock::now().time_since_epoch().count(); }
  void lost(const std::string& why);

 private:
  using Clock = std::chrono::steady_clock;
  void loop();
  std::string check();  // "": it serves this model

  std::string where_, key_, model_id_, run_id_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<turgo::v1::Engine::Stub> stub_;
  std::unique_ptr<grpc::health::v1::Health::Stub> health_;
  std::atomic<Clock::rep> last_heard_ = 0;
  mutable std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::string why_away_;
  bool stops_ = false;
  std::thread watcher_;
};

}  // namespace turgo
