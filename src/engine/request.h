// Tokens in, tokens out. The engine never sees a string: stop strings, detokenizers and tool parsers are
// TokenObservers that the pipeline installs on a request.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "sampling/sampling_params.h"
#include "sampling/token_logprob.h"

namespace turgo {

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError, kTimeout };

struct OutputToken {
  int32_t token_id = -1;
  float logprob = 0;                       // set if logprobs were asked for
  std::vector<TokenLogprob> top_logprobs;  // descending
};

// Looks at each token before it reaches the stream (stop ids never get here). kStop ends the request with
// this token, kDropAndStop without it: then it is neither streamed nor part of the session. Called on the
// engine's thread: short. If it throws, that request ends with kError.
class TokenObserver {
 public:
  enum class Verdict : uint8_t { kContinue, kStop, kDropAndStop };
  virtual ~TokenObserver() = default;
  virtual Verdict on_token(const OutputToken& token) = 0;
};

// Masks tokens before sampling (structured output). It belongs to one request: one that is forked or asked
// for several times gets a mask for each. Whatever a preemption or a failed cache block makes the engine
// compute again, fill() and accept() alternate, once per token of the answer. Either may throw: that request
// ends with kError, and no other.
class TokenMask {
 public:
  virtual ~TokenMask() = default;
  // `allowed` comes as (vocab_size + 31) / 32 zeros; bit id % 32 of word id / 32 set = id is allowed. Called
  // on a thread of the compute team, those of several requests at the same time.
  virtual void fill(std::vector<uint32_t>& allowed) = 0;
  // The token that was chosen; the engine's thread. Never one of the request's stop ids: they end it.
  virtual void accept(int32_t token_id) = 0;
  // After accept(): nothing may follow. The request ends with kStop, and this token is its last.
  virtual bool is_finished() const { return false; }
};

struct Request {
  std::vector<int32_t> input_ids;  // an id < 0 takes the next row of `embeddings`
  std::vector<float> embeddings;   // rows of hidden_size, for image spans
  std::string embeddings_hash;     // content hash of what the rows show; part of the prefix key
  SamplingParams sampling;
  int32_t max_new_tokens = 512;         // 0 = only fill the cache
  std::vector<int32_t> stop_token_ids;  // beside the model's own EOS ids; never part of the answer
  bool ignore_eos = false;              // the model's EOS ids are ordinary tokens
  std::shared_ptr<TokenObserver> observer;
  std::shared_ptr<TokenMask> mask;

  // Stateful inference: input_ids continue the session's tokens from `step` (-1 = its end; an earlier step
  // rewinds).
  std::string session_id;  // empty = stateless
  int32_t step = -1;
  std::string owner;     // salt of the prefix cache and owner of the session
  int32_t priority = 0;  // smaller is served first, as in vLLM
  // > 0: ends with kTimeout so many seconds after it arrived, wherever it then stands. What was streamed by
  // then stays, as with a cancel.
  double max_seconds = 0;
};

struct RequestStats {
  int32_t input_tokens = 0;    // new tokens of this request
  int32_t cached_tokens = 0;   // of the whole context, how many were not computed again
  int32_t history_tokens = 0;  // of the session before this request
  double queue_seconds = 0, prefill_seconds = 0, ttft_seconds = 0, decode_seconds = 0;
};

}  // namespace turgo
