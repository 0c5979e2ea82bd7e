// One request's way from a row of logits to a token. Steps: repetition penalty (prompt and generated, as
// transformers), presence and frequency penalty (generated), logit bias, token mask, min_new_tokens, then
// greedy, or temperature, top-k, top-p, min-p and one draw.
//   - The draw is a function of (row, seed, position): the batch around it can not change it.
//   - Linear in the vocabulary: nothing sorts it.
//   - A mask has the last word: it overrules logit bias, and min_new_tokens where it leaves stop ids only.
//   - A row that holds NaN or +inf, or leaves no token, is an error of this request alone.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "sampling/sampling_params.h"
#include "sampling/token_logprob.h"

namespace turgo {

// Throws Error{kInvalidArgument} naming the field, its range and what came.
void validate(const SamplingParams& params, int32_t vocab_size);

struct SampledToken {
  int32_t token_id = -1;
  float logprob = 0;                       // if num_logprobs >= 0
  std::vector<TokenLogprob> top_logprobs;  // num_logprobs best, descending
  const char* error = nullptr;             // what was wrong with the row; then there is no token
};

// Working memory of sample(), reused between calls; one per thread.
struct SampleScratch {
  struct Candidate {
    float value;  // logit
    int32_t token_id;
    float weight;  // exp((value - max) / temperature)
  };
  std::vector<Candidate> candidates;
  std::vector<float> weights;
  std::vector<std::pair<int32_t, float>> raw;  // logits before penalties and bias touched them
  std::vector<uint32_t> allowed;               // for TokenMask::fill
};

class Sampler {
 public:
  Sampler() = default;
  // params must be valid. stop_ids may not be drawn before min_new_tokens.
  Sampler(const SamplingParams& params, std::vector<int32_t> stop_ids, int32_t vocab_size);

  const SamplingParams& params() const { return params_; }

  // Tells what the context holds; ids < 0 (embedding rows) are skipped.
  void add_prompt(std::span<const int32_t> ids);
  void add_generated(int32_t id);

  // logits: [vocab_size], overwritten. position: of the drawn token in its context. allowed: token mask of
  // (vocab_size + 31) / 32 words, or null.
  SampledToken sample(std::span<float> logits, int64_t position, const uint32_t* allowed,
                      SampleScratch& scratch) const;

 private:
  // Returns whether a logit may have changed.
  bool apply_penalties(std::span<float> logits, SampleScratch& scratch) const;
  // `max` of the logits, which is first met at `max_from` or later.
  int32_t choose(std::span<const float> logits, float max, size_t max_from, int64_t position,
                 SampleScratch& scratch) const;

  SamplingParams params_;
  std::vector<int32_t> stop_ids_;
  int32_t num_generated_ = 0;
  std::vector<int32_t> seen_;      // distinct ids of the context; kept only with a repetition penalty
  std::vector<uint64_t> is_seen_;  // bit per vocabulary entry
  std::vector<std::pair<int32_t, int32_t>>
      counts_;  // (id, occurrences) among the generated ones, sorted by id
};

}  // namespace turgo
