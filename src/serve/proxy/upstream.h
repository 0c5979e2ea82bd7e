// Requests to nodes over kept HTTP/1.1 connections, and their answers piece by piece. Everything runs on the
// I/O thread, on the io_context of the server in front, so nothing locks. What a node sends is bounded: a
// header of 32 KiB, and kMaxAhead bytes of a body that nobody has taken yet; then its connection is not read.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "serve/http/http_message.h"
#include "serve/proxy/node.h"

namespace boost::asio {
class io_context;
}

namespace turgo {

struct UpstreamConfig {
  double connect_seconds = 1;
  double silence_seconds = 600;  // without a byte of an answer that is awaited
  double idle_seconds = 20;      // of a kept connection
  size_t max_idle = 128;         // kept connections per node
};

// How a call went wrong, for the rules of retry and blame.
enum class UpstreamFailure {
  kNone,
  kRefused,    // no connection: nothing was sent
  kBroken,     // cut off, or a peer that vanished
  kMalformed,  // what came is no HTTP
  kSilent,     // connected, and then nothing for silence_seconds
  kNodeDown,   // others found out that the node is gone
  kOurs,       // no descriptors left here
};

class UpstreamPool;

// One request and its answer.
class UpstreamCall : public std::enable_shared_from_this<UpstreamCall> {
 public:
  struct Request {
    std::string method, target;
    HttpFields fields;                             // end to end; Host and length are added
    std::shared_ptr<const std::string> body = {};  // null: none
    bool is_probe = false;                         // a connection of its own, also while the node is down
    double silence_seconds = 0;                    // UpstreamConfig's; 0 = that
  };

  UpstreamCall(UpstreamPool& pool, std::shared_ptr<Node> node, Request request,
               std::function<void()> on_event);
  ~UpstreamCall();
  UpstreamCall(const UpstreamCall&) = delete;
  UpstreamCall& operator=(const UpstreamCall&) = delete;

  // Nothing more is wanted: closes the connection; no event comes after it.
  void abandon();

  bool has_head() const { return status_ != 0; }
  int status() const { return status_; }
  const HttpFields& fields() const { return fields_; }  // lower-case names
  std::string_view field(std::string_view name) const;
  std::string take();  // body that came since the last call
  bool is_done() const { return is_done_; }
  UpstreamFailure failure() const { return failure_; }
  const std::string& why() const { return why_; }
  const std::shared_ptr<Node>& node() const { return node_; }

 private:
  friend class UpstreamPool;
  struct Wire;
  static constexpr size_t kMaxAhead = 64 << 10;

  void end(UpstreamFailure failure, std::string why);  // with an event
  void event();
  void leave_list();

  UpstreamPool& pool_;
  std::shared_ptr<Node> node_;
  Request request_;
  std::function<void()> on_event_;
  std::shared_ptr<Wire> wire_;
  int status_ = 0;
  HttpFields fields_;
  std::string body_, why_;
  bool is_done_ = false, is_connecting_ = true, is_paused_ = false, is_over_ = false;
  UpstreamFailure failure_ = UpstreamFailure::kNone;
  double last_activity_;
  std::list<UpstreamCall*>::iterator place_;  // in the pool's list, until is_over_
};

class UpstreamPool {
 public:
  UpstreamPool(std::shared_ptr<boost::asio::io_context> io, UpstreamConfig config);
  ~UpstreamPool();

  // `on_event`: there is a head, a piece of the body, the end or a failure.
  std::shared_ptr<UpstreamCall> call(std::shared_ptr<Node> node, UpstreamCall::Request request,
                                     std::function<void()> on_event);
  void forget(NodeId node);  // closes its idle connections
  // Calls `work` every kTickSeconds on the I/O thread, after this pool's own checks: it ends calls that wait
  // for too long, or for a node that is down.
  static constexpr double kTickSeconds = 0.1;
  void start_ticking(std::function<void()> work);
  void post(std::function<void()> work);  // from any thread: onto the I/O thread

  static double now();
  const UpstreamConfig& config() const { return config_; }

 private:
  friend class UpstreamCall;
  struct Impl;
  void tick();

  UpstreamConfig config_;
  std::list<UpstreamCall*> calls_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace turgo
