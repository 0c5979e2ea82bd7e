#include "serve/load/load_run.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "core/error.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

struct Flight {
  size_t index;
  std::unique_ptr<HttpExchange> exchange;
  LineCutter lines;
  std::string refused;
};

class LoadLoop {
 public:
  LoadLoop(const LoadConfig& config, const std::vector<LoadRequest>& plan) : config_(config), plan_(plan) {
    report_.results.resize(plan.size());
  }
  ~LoadLoop() {
    for (int fd : idle_) close(fd);
  }

  LoadReport run() {
    begin_ = Clock::now();
    while (next_ < plan_.size() || !flights_.empty()) {
      launch();
      wait();
      for (size_t i = 0; i < flights_.size();) {
        if (step(flights_[i])) {
          std::swap(flights_[i], flights_.back());
          flights_.pop_back();
        } else {
          ++i;
        }
      }
      if (now() > config_.timeout)
        fail(ErrorCode::kIo, "the test took longer than {} s; --timeout allows more", config_.timeout);
    }
    for (const LoadResult& result : report_.results)
      report_.duration = std::max(report_.duration, result.end);
    return std::move(report_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  bool may_launch() const {
    return next_ < plan_.size() && (config_.max_in_flight == 0 || flights_.size() < config_.max_in_flight) &&
           plan_[next_].arrival_s <= now();
  }

  void launch() {
    while (may_launch()) {
      const LoadRequest& r = plan_[next_];
      Json body = config_.extra;
      body["model"] = config_.model;
      body["max_tokens"] = r.max_tokens;
      body["stream"] = true;
      body["stream_options"] = {{"include_usage", true}};
      if (config_.path.ends_with("/chat/completions"))
        body["messages"] = Json::array({{{"role", "user"}, {"content", r.prompt}}});
      else
        body["prompt"] = r.prompt;
      int open = -1;
      if (!idle_.empty()) {
        open = idle_.back();
        idle_.pop_back();
      }
      LoadResult& result = report_.results[next_];
      result.start = now();
      try {
        auto exchange = std::make_unique<HttpExchange>(
            config_.server, HttpExchange::Request{"POST", config_.path, body.dump(), config_.api_key}, open);
        flights_.push_back({next_, std::move(exchange), {}, ""});
      } catch (const Error& error) {
        if (next_ == 0) throw;
        result.error = error.what();
        result.end = now();
      }
      ++next_;
      report_.most_in_flight = std::max(report_.most_in_flight, flights_.size());
    }
  }

  void wait() {
    polls_.clear();
    for (const Flight& flight : flights_)
      polls_.push_back({flight.exchange->fd(), flight.exchange->events(), 0});
    double left = 1;
    bool is_full = config_.max_in_flight > 0 && flights_.size() >= config_.max_in_flight;
    if (next_ < plan_.size() && !is_full) left = std::clamp(plan_[next_].arrival_s - now(), 0.0, 1.0);
    poll(polls_.data(), polls_.size(), static_cast<int>(left * 1000));
  }

  // True: it has ended.
  bool step(Flight& flight) {
    LoadResult& result = report_.results[flight.index];
    try {
      flight.exchange->advance();
      std::string bytes = flight.exchange->take_body();
      if (flight.exchange->status() == 200) {
        flight.lines.add(bytes);
        for (std::string data; flight.lines.next_event(data);) take(result, data);
      } else {
        flight.refused += bytes;
      }
      if (!flight.exchange->done()) return false;
      if (flight.exchange->status() != 200)
        fail(ErrorCode::kIo, "HTTP {}: {}", flight.exchange->status(), flight.refused.substr(0, 300));
      if (int fd = flight.exchange->take_connection(); fd >= 0) idle_.push_back(fd);
      result.ok = result.error.empty() && !result.piece_times.empty();
      if (!result.ok && result.error.empty()) result.error = "the answer was empty";
      if (result.output_tokens == 0) result.output_tokens = static_cast<int64_t>(result.piece_times.size());
    } catch (const Error& error) {
      result.error = error.what();
    }
    result.end = now();
    return true;
  }

  void take(LoadResult& result, const std::string& data) {
    if (data == "[DONE]") return;
    Json json = Json::parse(data, nullptr, false);
    if (!json.is_object() || json.contains("error")) {
      result.error = data.substr(0, 300);
      return;
    }
    if (json.contains("usage") && json["usage"].is_object()) {
      result.input_tokens = json["usage"].value("prompt_tokens", int64_t{0});
      result.output_tokens = json["usage"].value("completion_tokens", int64_t{0});
    }
    if (!json.contains("choices") || !json["choices"].is_array() || json["choices"].empty()) return;
    const Json& choice = json["choices"][0];
    std::string text;
    if (choice.contains("text") && choice["text"].is_string()) text = choice["text"].get<std::string>();
    if (choice.contains("delta") && choice["delta"].is_object() && choice["delta"].contains("content") &&
        choice["delta"]["content"].is_string())
      text = choice["delta"]["content"].get<std::string>();
    if (text.empty()) return;
    result.piece_times.push_back(now());
    result.text += text;
  }

  const LoadConfig& config_;
  const std::vector<LoadRequest>& plan_;
  LoadReport report_;
  Clock::time_point begin_;
  size_t next_ = 0;
  std::vector<Flight> flights_;
  std::vector<int> idle_;  // connections that may be used again
  std::vector<pollfd> polls_;
};

}  // namespace

LoadReport run_load(const LoadConfig& config, const std::vector<LoadRequest>& plan) {
  return LoadLoop(config, plan).run();
}

}  // namespace turgo
