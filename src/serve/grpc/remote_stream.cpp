#include "serve/grpc/remote_stream.h"

#include "engine/stream_queue.h"
#include "serve/grpc/messages.h"

namespace turgo {
namespace {

// gRPC calls it on threads of its own until OnDone(), so it owns itself until then.
class RemoteCall : public grpc::ClientReadReactor<pb::GenerateEvent>,
                   public std::enable_shared_from_this<RemoteCall> {
 public:
  RemoteCall(std::shared_ptr<EngineLink> link, const Request& request)
      : link_(std::move(link)), observer_(request.observer) {
    fill(request_, request);
    // The engine itself ends the answer in time; the deadline is for one that is silent.
    link_->prepare(context_, request.max_seconds > 0 ? request.max_seconds + 5 : 0);
  }

  // Throws what the engine has against the request.
  void begin() {
    self_ = shared_from_this();
    link_->stub().async()->GenerateStream(&context_, &request_, this);
    StartRead(&event_);
    StartCall();
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(200), [&] { return accepted_ || done_; })) {
      // A long queue of submissions may take its time; an engine that is away will not answer any more.
      if (std::string why = link_->why_away(); !why.empty()) {
        lock.unlock();
        context_.TryCancel();
        throw EngineAway(why);
      }
    }
    if (accepted_) return;
    lock.unlock();
    link_->settle(status_);
    throw EngineAway(fmt::format("the engine at {} ended the call before it began", link_->where()));
  }

  void cancel() { context_.TryCancel(); }
  StreamQueue& queue() { return queue_; }

  void OnReadDone(bool ok) override {
    if (!ok) return;  // OnDone() says why
    link_->heard();
    if (!accepted_) {
      std::lock_guard lock(mutex_);
      accepted_ = true;
      changed_.notify_all();
    } else {
      take(to_event(event_));
    }
    event_.Clear();
    StartRead(&event_);
  }

  void OnDone(const grpc::Status& status) override {
    if (accepted_ && !ended_) end(status);
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) link_->lost(status.error_message());
    {
      std::lock_guard lock(mutex_);
      status_ = status;
      done_ = true;
      changed_.notify_all();
    }
    self_.reset();  // the last line: this may be gone
  }

 private:
  void take(StreamEvent event) {
    if (ended_) return;
    if (observer_)
      for (const OutputToken& token : event.tokens) observer_->on_token(token);
    ended_ = event.finish != FinishReason::kNone;
    queue_.push(std::move(event));
  }

  void end(const grpc::Status& status) {
    StreamEvent event;
    if (status.error_code() == grpc::StatusCode::CANCELLED) {
      event.finish = FinishReason::kCancelled;
    } else if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
      event.finish = FinishReason::kTimeout;
    } else {
      event.finish = FinishReason::kError;
      event.is_away = true;
      event.error = fmt::format("the engine was lost during the answer: {}",
                                status.ok() ? "it ended early" : quote(status.error_message(), 200));
    }
    take(std::move(event));
  }

  std::shared_ptr<EngineLink> link_;
  std::shared_ptr<TokenObserver> observer_;
  grpc::ClientContext context_;
  pb::GenerateRequest request_;
  pb::GenerateEvent event_;
  StreamQueue queue_;
  std::shared_ptr<RemoteCall> self_;
  bool ended_ = false;  // only between gRPC's calls, which follow one another
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> accepted_ = false;
  bool done_ = false;
  grpc::Status status_;
};

class RemoteStream : public Stream {
 public:
  explicit RemoteStream(std::shared_ptr<RemoteCall> call) : call_(std::move(call)) {}
  ~RemoteStream() override { call_->cancel(); }
  std::optional<StreamEvent> next(std::optional<std::chrono::milliseconds> timeout) override {
    return call_->queue().next(timeout);
  }
  void cancel() override { call_->cancel(); }
  void set_listener(std::function<void()> listener) override {
    call_->queue().set_listener(std::move(listener));
  }

 private:
  std::shared_ptr<RemoteCall> call_;
};

}  // namespace

std::unique_ptr<Stream> start_remote_stream(std::shared_ptr<EngineLink> link, const Request& request) {
  link->require_up();
  auto call = std::make_shared<RemoteCall>(std::move(link), request);
  call->begin();
  return std::make_unique<RemoteStream>(std::move(call));
}

}  // namespace turgo
