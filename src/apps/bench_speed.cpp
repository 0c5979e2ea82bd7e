#include "apps/bench_speed.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <random>
#include <thread>

#include "core/error.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

class Stopwatch : public TokenObserver {
 public:
  explicit Stopwatch(size_t num_tokens) { times_.reserve(num_tokens); }
  Verdict on_token(const OutputToken&) override {
    times_.push_back(Clock::now());
    return Verdict::kContinue;
  }
  const std::vector<Clock::time_point>& times() const { return times_; }  // after the request's last event

 private:
  std::vector<Clock::time_point> times_;
};

double seconds(Clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// Requests whose prompt is done decode while others still prefill: one token in each of those steps.
int32_t early_tokens(const Engine& engine, int32_t batch, int32_t prompt_tokens) {
  if (batch == 1) return 0;
  int32_t rows = std::max(engine.config().max_prefill_tokens - batch, 1);
  return batch * (prompt_tokens / rows + 1);
}

std::optional<StreamEvent> last_event(Stream& stream) {
  while (auto event = stream.next(std::chrono::milliseconds(0)))
    if (event->finish != FinishReason::kNone) return event;
  return std::nullopt;
}

}  // namespace

int32_t batch_context(const Engine& engine, int32_t batch, int32_t prompt_tokens, int32_t gen_tokens) {
  return prompt_tokens + gen_tokens + early_tokens(engine, batch, prompt_tokens);
}

BatchSpeed measure_batch(Engine& engine, int32_t batch, int32_t prompt_tokens, int32_t gen_tokens,
                         uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> any(0, engine.model_config().vocab_size - 1);
  int32_t num_new = gen_tokens + early_tokens(engine, batch, prompt_tokens);
  std::vector<Request> requests(static_cast<size_t>(batch));
  std::vector<std::shared_ptr<Stopwatch>> watches;
  for (Request& r : requests) {
    r.input_ids.resize(static_cast<size_t>(prompt_tokens));
    for (int32_t& id : r.input_ids) id = any(random);
    r.max_new_tokens = num_new;
    r.ignore_eos = true;
    r.sampling.temperature = 0;
    watches.push_back(std::make_shared<Stopwatch>(static_cast<size_t>(num_new)));
    r.observer = watches.back();
  }
  auto start = Clock::now();
  std::vector<std::unique_ptr<Stream>> streams;
  for (Request& r : requests) streams.push_back(engine.submit(std::move(r)));
  for (auto& stream : streams) {
    // The queue holds the events until the end: waking up for each would cost a core.
    std::optional<StreamEvent> event;
    while (!(event = last_event(*stream))) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (event->finish == FinishReason::kError) fail(ErrorCode::kResourceExhausted, "{}", event->error);
  }
  auto first = start, last = Clock::time_point::max();
  for (const auto& watch : watches) {
    CHECK_EQ(watch->times().size(), static_cast<size_t>(num_new));
    first = std::max(first, watch->times().front());
    last = std::min(last, watch->times().back());
  }
  if (last <= first)
    fail(ErrorCode::kResourceExhausted,
         "{} requests of {} tokens never decoded together; expected a KV cache that holds them all, see "
         "--cache-max-entry-count",
         batch, prompt_tokens);
  int64_t num_decoded = 0;
  for (const auto& watch : watches)
    for (Clock::time_point t : watch->times()) num_decoded += t > first && t <= last;
  return {static_cast<double>(batch) * prompt_tokens / seconds(first - start),
          static_cast<double>(num_decoded) / seconds(last - first)};
}

std::vector<int32_t> parse_batches(const std::string& text) {
  std::vector<int32_t> out;
  const char* end = text.data() + text.size();
  for (const char* p = text.data();; ++p) {
    int32_t value = 0;
    auto [next, error] = std::from_chars(p, end, value);
    bool ends = next == end || *next == ',';
    if (error != std::errc() || !ends || value < 1 || value > 1024 || out.size() == 32)
      fail(ErrorCode::kInvalidArgument,
           "--batch {}: expected at most 32 numbers from 1 to 1024 with commas between", quote(text));
    out.push_back(value);
    if (next == end) return out;
    p = next;
  }
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

}  // namespace turgo
