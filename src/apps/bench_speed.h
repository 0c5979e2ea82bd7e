// The measurements of `turgo bench`: requests of random tokens to the engine, and when their tokens came.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace turgo {

struct BatchSpeed {
  double prefill = 0;  // prompt tokens per second until the last request's first token
  double decode = 0;   // tokens per second of all requests together while each of them decodes
};

// `batch` requests at once of `prompt_tokens` each, and the speed of at least `gen_tokens` - 1 steps in which
// all of them decode. Times are taken on the engine's thread, so that no consumer competes for the cores.
// Throws Error{kResourceExhausted} if they do not fit into the cache together.
BatchSpeed measure_batch(Engine& engine, int32_t batch, int32_t prompt_tokens, int32_t gen_tokens,
                         uint32_t seed);

// Tokens that measure_batch() needs room for, per request.
int32_t batch_context(const Engine& engine, int32_t batch, int32_t prompt_tokens, int32_t gen_tokens);

// "1,2,4" -> {1, 2, 4}. Throws Error{kInvalidArgument}; 1 to 1024 each, at most 32 of them.
std::vector<int32_t> parse_batches(const std::string& text);

double median(std::vector<double> values);

}  // namespace turgo
