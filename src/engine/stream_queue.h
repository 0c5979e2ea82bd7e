// The channel between the engine's thread and one consumer. The engine never waits for a consumer: tokens
// that were not fetched yet are merged into one event.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "engine/sequence.h"
#include "engine/stream_event.h"

namespace turgo {

class StreamQueue : public EventSink {
 public:
  struct LogitsRows {
    int32_t first_index;
    std::vector<float> rows;
  };

  void push(StreamEvent event) override;
  void push_logits(int32_t first_index, std::vector<float> rows) override;

  // Waits until there is an event; nullopt on time-out and after the last one.
  std::optional<StreamEvent> next(std::optional<std::chrono::milliseconds> timeout);
  // Called after every push, and at once if there is an event.
  void set_listener(std::function<void()> listener);
  // Waits for rows of logits; nullopt when only the last event is left.
  std::optional<LogitsRows> next_logits();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> listener_;
  std::optional<StreamEvent> event_;
  std::deque<LogitsRows> logits_;
  bool ended_ = false;    // the last event was pushed
  bool fetched_ = false;  // and fetched
};

}  // namespace turgo
