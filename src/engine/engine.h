// The engine: continuous batching over one model on one thread of its own, that is also member 0 of the
// compute team.
//   submit() from any thread -> Stream; every accepted request ends exactly once; a bad one gets an Error at
//   once and changes nobody else's answer; cancel frees its blocks within one step.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "engine/engine_config.h"
#include "engine/request.h"
#include "engine/stream_event.h"
#include "models/decoder.h"

namespace turgo {

// The consumer's end of a request. Safe to drop at any time: that cancels the request.
class Stream {
 public:
  virtual ~Stream() = default;
  // Blocks for the next event; after one with finish != kNone there are no more. Empty optional on time-out.
  virtual std::optional<StreamEvent> next(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt) = 0;
  virtual void cancel() = 0;
  // For a consumer that does not block: `listener` is called on the engine's thread whenever an event came,
  // and at once if one waits already; it must be short. next(0ms) then fetches it. It may still be called
  // while this stream is destroyed.
  virtual void set_listener(std::function<void()> listener) = 0;
};

// An engine in another process can not be reached; it may come back. What was under way there ends with
// StreamEvent::is_away.
struct EngineAway : Error {
  explicit EngineAway(const std::string& message) : Error(ErrorCode::kIo, message) {}
};

struct SessionInfo {
  std::string id, owner;
  int32_t num_tokens = 0;
};

struct EngineStats {
  bool is_up = true;                         // false: the engine is away, and nothing else here is known
  int32_t num_running = 0, num_waiting = 0;  // requests
  int32_t num_blocks = 0, num_active_blocks = 0, num_cached_blocks = 0;  // of the KV cache
  int64_t num_preemptions = 0;
  int64_t num_steps = 0;
  // Where the time of all steps went: the model with its sampling, and around it the plan, stop checks,
  // observers, bookkeeping and events.
  double model_seconds = 0, host_seconds = 0;
};

class Engine {
 public:
  static std::unique_ptr<Engine> create(std::shared_ptr<Decoder> decoder, const EngineConfig& config);
  virtual ~Engine() = default;  // cancels what runs, joins the thread

  // Throws Error{kInvalidArgument, kTooLong, kResourceExhausted, kNotFound} for a request that can not be
  // accepted. All functions of an engine in another process may throw EngineAway.
  virtual std::unique_ptr<Stream> submit(Request request) = 0;

  // Sessions appear with the first request that names them.
  virtual std::vector<SessionInfo> list_sessions(const std::string& owner) = 0;
  virtual std::vector<int32_t> session_tokens(const std::string& id, const std::string& owner) = 0;
  // A request that it is answering is cancelled.
  virtual void end_session(const std::string& id, const std::string& owner) = 0;
  virtual void fork_session(const std::string& id, const std::string& new_id, const std::string& owner) = 0;
  // A session file holds the tokens (engine/session_file.h); K and V are recomputed at the next turn. Throw
  // Error {kNotFound, kIo, kCorrupt, kInvalidArgument, kTooLong} and then have changed nothing.
  virtual void save_session(const std::string& id, const std::string& owner, const std::string& path) = 0;
  virtual void load_session(const std::string& path, const std::string& id, const std::string& owner) = 0;

  // Logits of every token of `ids`, row by row, f32 [vocab_size]: perplexity, KL, goldens. Runs as an
  // ordinary request.
  using LogitsSink = std::function<void(int32_t index, std::span<const float> logits)>;
  virtual void compute_logits(const std::vector<int32_t>& ids, const LogitsSink& sink) = 0;
  // The same with the hidden state of each token behind the final norm, f32 [hidden_size].
  virtual void compute_hidden(const std::vector<int32_t>& ids, const LogitsSink& sink) = 0;

  virtual EngineStats stats() = 0;
  virtual const EngineConfig& config() const = 0;
  virtual const DecoderConfig& model_config() const = 0;
  virtual int32_t session_len() const = 0;  // tokens that a context may have
  // "": it can be reached, as every engine of this process can.
  virtual std::string why_away() const { return ""; }
};

}  // namespace turgo
