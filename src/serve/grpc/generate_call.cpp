#include "serve/grpc/generate_call.h"

#include <memory>

#include "serve/api_error.h"
#include "serve/grpc/engine_service.h"
#include "serve/grpc/messages.h"

namespace turgo {
namespace {

// Seconds until the caller's deadline; 0 = there is none.
double seconds_left(const grpc::CallbackServerContext& context) {
  auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return 0;
  double left = std::chrono::duration<double>(deadline - std::chrono::system_clock::now()).count();
  return left > 1e8 ? 0 : std::max(left, 1e-3);
}

// A call from its arrival to OnDone(), when it lets go of itself.
class AnswerCall : public std::enable_shared_from_this<AnswerCall> {
 public:
  AnswerCall(EngineService& service, grpc::CallbackServerContext& context, const pb::GenerateRequest& request)
      : service_(service), context_(context), request_(request) {}
  virtual ~AnswerCall() = default;

  void begin() {
    self_ = shared_from_this();
    service_.count_call(1);
    grpc::Status refusal;
    std::string owner = service_.owner_of(context_, request_.owner(), refusal, true);
    if (refusal.ok() && service_.is_draining()) {
      context_.AddTrailingMetadata("grpc-retry-pushback-ms", "1000");
      refusal = {grpc::StatusCode::UNAVAILABLE, "the engine is shutting down; try another one"};
    }
    if (!refusal.ok()) return end(refusal);
    service_.starters().post([self = self_, owner] { self->start(owner); });
  }

 protected:
  virtual void end(const grpc::Status& status) = 0;  // Finish()
  virtual void accepted() = 0;
  // Takes what has come; called again when there is more. Never twice at once.
  virtual void pump(TextStream& stream) = 0;

  // The engine's thread calls it too, and must never be the one that lets go of a stream: only weak
  // references.
  static void wake(WorkerThreads& writers, const std::weak_ptr<AnswerCall>& call) {
    writers.post([call] {
      if (auto self = call.lock()) {
        std::lock_guard lock(self->mutex_);
        if (self->stream_ && !self->is_over_) self->pump(*self->stream_);
      }
    });
  }
  void wake() { wake(service_.writers(), weak_from_this()); }
  void cancelled() {
    std::lock_guard lock(mutex_);
    is_cancelled_ = true;
    if (stream_) stream_->cancel();
  }
  void done() {
    {
      std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    service_.count_call(-1);
    self_.reset();  // the last line: this may be gone
  }

  bool is_over_ = false;  // under mutex_, which pump() holds

 private:
  void start(const std::string& owner) {
    grpc::Status wrong;
    try {
      auto stream = std::make_unique<TextStream>(service_.start(request_, owner, seconds_left(context_)));
      {
        std::lock_guard lock(mutex_);
        if (is_cancelled_) stream->cancel();
        stream_ = std::move(stream);
        accepted();
      }
      stream_->set_listener(
          [&writers = service_.writers(), call = weak_from_this()] { wake(writers, call); });
      return;
    } catch (const ApiError& error) {
      wrong = {grpc::StatusCode::INVALID_ARGUMENT, error.message};
    } catch (const Error& error) {
      wrong = to_status(Error(error.code(), without_folders(error.what())));
    } catch (const std::exception& error) {
      wrong = {grpc::StatusCode::INTERNAL, without_folders(error.what())};
    }
    end(wrong);
  }

  EngineService& service_;
  grpc::CallbackServerContext& context_;
  const pb::GenerateRequest& request_;
  std::shared_ptr<AnswerCall> self_;
  std::mutex mutex_;
  bool is_cancelled_ = false;
  std::unique_ptr<TextStream> stream_;
};

class StreamCall : public AnswerCall, public grpc::ServerWriteReactor<pb::GenerateEvent> {
 public:
  using AnswerCall::AnswerCall;
  void OnCancel() override { cancelled(); }
  void OnDone() override { done(); }
  void OnWriteDone(bool ok) override {
    if (!ok) cancelled();
    is_writing_ = false;
    wake();
  }

 private:
  void end(const grpc::Status& status) override { Finish(status); }

  void accepted() override {
    is_writing_ = true;
    StartWrite(&event_);  // no tokens yet
  }

  void pump(TextStream& stream) override {
    if (is_writing_) return;
    if (is_last_) {
      is_over_ = true;
      return Finish(grpc::Status::OK);
    }
    std::optional<TextEvent> event = stream.next(std::chrono::milliseconds(0));
    if (!event) return;
    event_.Clear();
    fill(event_, *event);
    is_last_ = event->finish != FinishReason::kNone;
    is_writing_ = true;
    StartWrite(&event_);
  }

  pb::GenerateEvent event_;
  std::atomic<bool> is_writing_ = false;
  bool is_last_ = false;
};

class UnaryCall : public AnswerCall, public grpc::ServerUnaryReactor {
 public:
  UnaryCall(EngineService& service, grpc::CallbackServerContext& context, const pb::GenerateRequest& request,
            pb::GenerateResponse& response)
      : AnswerCall(service, context, request), response_(response) {}
  void OnCancel() override { cancelled(); }
  void OnDone() override { done(); }

 private:
  void end(const grpc::Status& status) override { Finish(status); }
  void accepted() override {}

  void pump(TextStream& stream) override {
    while (auto event = stream.next(std::chrono::milliseconds(0))) {
      for (const OutputToken& token : event->tokens) fill(*response_.add_tokens(), token);
      *response_.mutable_text() += event->text;
      if (event->finish == FinishReason::kNone) continue;
      is_over_ = true;
      if (event->finish == FinishReason::kError)
        return Finish({grpc::StatusCode::INTERNAL, event->error.empty() ? "the model failed" : event->error});
      if (event->finish == FinishReason::kCancelled)
        return Finish({grpc::StatusCode::CANCELLED, "the request was cancelled"});
      response_.set_finish(to_finish(event->finish));
      fill(*response_.mutable_stats(), event->stats);
      response_.set_num_input_tokens(stream.num_input_tokens());
      return Finish(grpc::Status::OK);
    }
  }

  pb::GenerateResponse& response_;
};

template <class Call, class... More>
Call* begin_call(More&&... more) {
  auto call = std::make_shared<Call>(std::forward<More>(more)...);
  Call* out = call.get();
  out->begin();
  return out;
}

}  // namespace

grpc::ServerUnaryReactor* begin_generate(EngineService& service, grpc::CallbackServerContext& context,
                                         const pb::GenerateRequest& request, pb::GenerateResponse& response) {
  return begin_call<UnaryCall>(service, context, request, response);
}

grpc::ServerWriteReactor<pb::GenerateEvent>* begin_generate_stream(EngineService& service,
                                                                   grpc::CallbackServerContext& context,
                                                                   const pb::GenerateRequest& request) {
  return begin_call<StreamCall>(service, context, request);
}

}  // namespace turgo
