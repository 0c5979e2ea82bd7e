// The engine: continuous batching over one model on one thread of its own, that is also member 0 of the
// compute team.
//   submit() from any thread -> Stream; every accepted request ends exactly once; a bad one gets an Error at
//   once and changes nobody else's answer; cancel frees its blocks within one step.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/request.h"
#include "models/decoder.h"

namespace turgo {

struct EngineConfig {
  int32_t session_len = 0;  // 0 = the model's own context
  int32_t max_batch_size = 128;
  int32_t max_prefill_tokens = 512;    // token budget of a step: decodes first, prefill chunks fill the rest
  double cache_max_entry_count = 0.8;  // share of the free memory, or > 1: number of blocks
  int32_t max_queue = 1024;            // requests waiting; beyond: Error{kResourceExhausted}
  KvType kv_type = KvType::kBF16;
  bool enable_prefix_caching = true;
};

// One event of a stream: zero or more tokens, and on the last event the reason and statistics.
struct StreamEvent {
  std::vector<OutputToken> tokens;
  FinishReason finish = FinishReason::kNone;
  std::string error;  // with FinishReason::kError
  RequestStats stats;
};

// The consumer's end of a request. Safe to drop at any time: that cancels the request.
class Stream {
 public:
  virtual ~Stream() = default;
  // Blocks for the next event; after one with finish != kNone there are no more. Empty optional on time-out.
  virtual std::optional<StreamEvent> next(
      std::optional<std::chrono::milliseconds> timeout = std::nullopt) = 0;
  virtual void cancel() = 0;
};

struct SessionInfo {
  std::string id, owner;
  int32_t num_tokens = 0;
};

class Engine {
 public:
  static std::unique_ptr<Engine> create(std::shared_ptr<Decoder> decoder, const EngineConfig& config);
  virtual ~Engine() = default;  // cancels what runs, joins the thread

  // Throws Error{kInvalidArgument, kTooLong, kResourceExhausted, kNotFound} for a request that can not be
  // accepted.
  virtual std::unique_ptr<Stream> submit(Request request) = 0;

  // Sessions appear with the first request that names them.
  virtual std::vector<SessionInfo> list_sessions(const std::string& owner) = 0;
  virtual std::vector<int32_t> session_tokens(const std::string& id, const std::string& owner) = 0;
  virtual void end_session(const std::string& id, const std::string& owner) = 0;
  virtual void fork_session(const std::string& id, const std::string& new_id, const std::string& owner) = 0;

  // Logits of every token of `ids`, row by row, f32 [vocab_size]: perplexity, KL, goldens. Runs as an
  // ordinary request.
  using LogitsSink = std::function<void(int32_t index, std::span<const float> logits)>;
  virtual void compute_logits(const std::vector<int32_t>& ids, const LogitsSink& sink) = 0;

  virtual const EngineConfig& config() const = 0;
  virtual const Decoder& decoder() const = 0;
};

}  // namespace turgo
