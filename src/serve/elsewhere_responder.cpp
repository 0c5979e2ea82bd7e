#include "serve/elsewhere_responder.h"

#include <mutex>

#include "core/log.h"
#include "serve/api_error.h"

namespace turgo {
namespace {

using Begin = std::function<std::unique_ptr<Responder>()>;

class ElsewhereResponder : public Responder {
 public:
  ElsewhereResponder(WorkerThreads& threads, Begin begin) : threads_(threads), begin_(std::move(begin)) {}
  ~ElsewhereResponder() override {
    std::lock_guard lock(turn_->mutex);
    turn_->is_abandoned = true;
  }

  void start(std::function<void()> wake) override {
    wake_ = wake;
    threads_.post([turn = turn_, begin = std::move(begin_), wake = std::move(wake)] {
      {
        std::lock_guard lock(turn->mutex);
        if (turn->is_abandoned) return;
      }
      std::unique_ptr<Responder> inner = begun(begin);
      std::lock_guard lock(turn->mutex);
      if (turn->is_abandoned) return;  // and nobody is there to wake
      turn->inner = std::move(inner);
      wake();
    });
  }

  bool advance(HttpWriter& out) override {
    if (!inner_) {
      {
        std::lock_guard lock(turn_->mutex);
        inner_ = std::move(turn_->inner);
      }
      if (!inner_) return false;
      inner_->start(wake_);
    }
    return inner_->advance(out);
  }

  bool interrupt(HttpWriter& out, int status, const std::string& reason) override {
    if (inner_) return inner_->interrupt(out, status, reason);
    out.respond(error_response({status, reason, "", "interrupted"}));
    return true;
  }

 private:
  struct Turn {
    std::mutex mutex;
    bool is_abandoned = false;
    std::unique_ptr<Responder> inner;
  };

  static std::unique_ptr<Responder> begun(const Begin& begin) {
    try {
      return begin();
    } catch (const std::exception& error) {
      log_warning("a request failed: {}", error.what());
      return respond_with(error_response({500, "the server failed on this request", "", "internal_error"}));
    }
  }

  WorkerThreads& threads_;
  Begin begin_;
  std::function<void()> wake_;
  std::shared_ptr<Turn> turn_ = std::make_shared<Turn>();
  std::unique_ptr<Responder> inner_;
};

}  // namespace

std::unique_ptr<Responder> respond_elsewhere(WorkerThreads& threads, Begin begin) {
  return std::make_unique<ElsewhereResponder>(threads, std::move(begin));
}

}  // namespace turgo
