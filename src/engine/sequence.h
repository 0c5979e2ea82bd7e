// A request in flight: its whole context as tokens (the truth), the blocks that hold K and V of a prefix of
// them, and where it stands. Owned by EngineCore; Scheduler moves it between queued and running.
#pragma once

#include <algorithm>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/cache_blocks.h"
#include "engine/embedding_rows.h"
#include "engine/prefix_cache.h"
#include "engine/request.h"
#include "sampling/sampler.h"

namespace turgo {

struct StreamEvent;

// Where a sequence's events go. push() must not block; the event with finish != kNone is the last one.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void push(StreamEvent event) = 0;
  // Logits of the rows [first_index, …) for compute_logits.
  virtual void push_logits(int32_t /*first_index*/, std::vector<float> /*rows*/) {}
};

struct Session;

struct Sequence {
  enum class State : uint8_t { kQueued, kRunning };

  uint64_t id = 0;       // arrival order
  int64_t fair_tag = 0;  // order between owners, see FairShare
  Request request;
  std::shared_ptr<EventSink> sink;
  Session* session = nullptr;

  std::vector<int32_t> tokens;  // history + input + generated
  EmbeddingRows embeddings;
  int32_t num_prompt = 0;  // history + input
  int32_t max_new = 0;     // tokens to generate at most, the context's end considered
  bool all_logits = false;
  bool as_hidden = false;  // StepSlice::as_hidden
  bool paused = false;     // all_logits: its consumer has not taken the last rows
  std::vector<int32_t> stop_ids;

  State state = State::kQueued;
  CacheTable table;
  PrefixChain chain;
  std::string name_space;
  Sampler sampler;
  int32_t max_reuse = INT32_MAX;  // tokens of `table` that are still its context's (a session was rewound)
  bool started = false;           // was admitted once
  bool in_flight = false;         // part of the step that is being computed
  bool cancelled = false;
  int32_t num_delivered = 0;  // all_logits: rows handed out
  int32_t num_preemptions = 0;

  RequestStats stats;
  double submit_time = 0, admit_time = 0, first_token_time = 0;
  double deadline = std::numeric_limits<double>::infinity();

  int32_t num_tokens() const { return static_cast<int32_t>(tokens.size()); }
  int32_t num_generated() const { return num_tokens() - num_prompt; }
  int32_t num_pending() const { return num_tokens() - table.num_tokens; }
  bool is_decode() const { return num_pending() == 1 && num_generated() > 0; }

  PrefixSource prefix_source() const {
    PrefixSource source{name_space, tokens, nullptr};
    if (!embeddings.values.empty())
      source.embedding_key = [this](int32_t begin, int32_t end) { return embedding_key(begin, end); };
    return source;
  }
  int32_t num_embeddings_before(int32_t index) const {
    return static_cast<int32_t>(
        std::count_if(tokens.begin(), tokens.begin() + index, [](int32_t t) { return t < 0; }));
  }
  std::optional<std::string> embedding_key(int32_t begin, int32_t end) const;
};

// Served first: smaller priority, then whose owner's turn it is, then earlier arrival.
inline bool served_before(const Sequence& a, const Sequence& b) {
  if (a.request.priority != b.request.priority) return a.request.priority < b.request.priority;
  if (a.fair_tag != b.fair_tag) return a.fair_tag < b.fair_tag;
  return a.id < b.id;
}

}  // namespace turgo
