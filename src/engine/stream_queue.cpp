#include "engine/stream_queue.h"

#include <iterator>

#include "core/error.h"

namespace turgo {

void StreamQueue::push(StreamEvent event) {
  std::function<void()> listener;
  {
    std::lock_guard lock(mutex_);
    CHECK(!ended_);
    ended_ = event.finish != FinishReason::kNone;
    if (!event_) {
      event_ = std::move(event);
    } else {
      event_->tokens.insert(event_->tokens.end(), std::make_move_iterator(event.tokens.begin()),
                            std::make_move_iterator(event.tokens.end()));
      event_->finish = event.finish;
      event_->error = std::move(event.error);
      event_->is_away = event.is_away;
      event_->stats = event.stats;
    }
    listener = listener_;
  }
  changed_.notify_one();
  if (listener) listener();
}

void StreamQueue::set_listener(std::function<void()> listener) {
  bool is_ready = false;
  {
    std::lock_guard lock(mutex_);
    listener_ = listener;
    is_ready = event_.has_value();
  }
  if (is_ready && listener) listener();
}

void StreamQueue::push_logits(int32_t first_index, std::vector<float> rows) {
  {
    std::lock_guard lock(mutex_);
    logits_.push_back({first_index, std::move(rows)});
  }
  changed_.notify_one();
}

std::optional<StreamEvent> StreamQueue::next(std::optional<std::chrono::milliseconds> timeout) {
  std::unique_lock lock(mutex_);
  auto ready = [&] { return event_.has_value() || fetched_; };
  if (!timeout) {
    changed_.wait(lock, ready);
  } else if (timeout->count() > 0) {  // a wait for no time sleeps 50 us
    changed_.wait_for(lock, *timeout, ready);
  }
  std::optional<StreamEvent> event = std::move(event_);
  event_.reset();
  if (event && event->finish != FinishReason::kNone) fetched_ = true;
  return event;
}

std::optional<StreamQueue::LogitsRows> StreamQueue::next_logits() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !logits_.empty() || event_.has_value(); });
  if (logits_.empty()) return std::nullopt;
  LogitsRows rows = std::move(logits_.front());
  logits_.pop_front();
  return rows;
}

}  // namespace turgo
