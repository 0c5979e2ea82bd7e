#include "serve/late_responder.h"

#include <mutex>
#include <optional>
#include <thread>

#include "serve/api_error.h"

namespace turgo {
namespace {

class LateResponder : public Responder {
 public:
  explicit LateResponder(std::function<HttpResponse(const std::atomic<bool>&)> compute)
      : compute_(std::move(compute)) {}
  ~LateResponder() override {
    cancelled_ = true;
    if (thread_.joinable()) thread_.join();
  }

  void start(std::function<void()> wake) override {
    thread_ = std::thread([this, wake = std::move(wake)] {
      HttpResponse response = run();
      {
        std::lock_guard lock(mutex_);
        response_ = std::move(response);
      }
      wake();
    });
  }

  bool advance(HttpWriter& out) override {
    std::lock_guard lock(mutex_);
    if (!response_) return false;
    out.respond(std::move(*response_));
    return true;
  }

 private:
  HttpResponse run() {
    try {
      return compute_(cancelled_);
    } catch (const ApiError& error) {
      return error_response(error);
    } catch (const Error& error) {
      return error_response(to_api_error(error, true));
    } catch (const std::exception&) {
      return error_response({500, "the server failed on this request", "", "internal_error"});
    }
  }

  std::function<HttpResponse(const std::atomic<bool>&)> compute_;
  std::atomic<bool> cancelled_{false};
  std::mutex mutex_;
  std::optional<HttpResponse> response_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<Responder> respond_later(std::function<HttpResponse(const std::atomic<bool>&)> compute) {
  return std::make_unique<LateResponder>(std::move(compute));
}

}  // namespace turgo
