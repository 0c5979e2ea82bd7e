#include "pipeline/generation_config.h"

#include <random>

#include "core/error.h"

namespace turgo {
namespace {

constexpr size_t kMaxStops = 64, kMaxStopBytes = 4096;

}  // namespace

void list_options(GenerationConfig& c, OptionList& list) {
  list.add("max_new_tokens", &c.max_new_tokens, "most tokens of an answer").range(0).label("N");
  list.add("min_new_tokens", &c.min_new_tokens, "no end before so many tokens").range(0).label("N");
  list.add("temperature", &c.temperature, "0 picks the likeliest token").range(0, 100);
  list.add("top_k", &c.top_k, "sample from the K likeliest tokens; 0: all, 1: greedy").range(-1).label("K");
  list.add("top_p", &c.top_p, "sample from the likeliest tokens that make up this probability").range(0, 1);
  list.add("min_p", &c.min_p, "leave out tokens below this share of the likeliest").range(0, 1);
  list.add("repetition_penalty", &c.repetition_penalty, "above 1: seen tokens become less likely")
      .range(0, 100);
  list.add("presence_penalty", &c.presence_penalty, "taken from the logits of generated tokens").range(-2, 2);
  list.add("frequency_penalty", &c.frequency_penalty, "the same, for each occurrence").range(-2, 2);
  list.add("seed", &c.seed, "same seed, same answer").label("N").shown_default("random");
  list.add("stop", &c.stop, "end the answer before this text; may be given several times").label("TEXT");
  list.add("include_stop", &c.include_stop, "keep the stop text in the answer");
  list.add("ignore_eos", &c.ignore_eos, "go on after the model's end token");
  list.add("logprobs", &c.logprobs, "report log probabilities: the chosen token's and the N best")
      .range(-1, 100)
      .label("N")
      .shown_default("none");
  list.add("skip_special_tokens", &c.skip_special_tokens, "leave control tokens out of the text")
      .shown_default("true");
}

SamplingParams sampling_params(const GenerationConfig& c) {
  if (c.stop.size() > kMaxStops)
    fail(ErrorCode::kInvalidArgument, "stop: expected at most {} strings, got {}", kMaxStops, c.stop.size());
  for (const std::string& stop : c.stop)
    if (stop.empty() || stop.size() > kMaxStopBytes)
      fail(ErrorCode::kInvalidArgument, "stop: expected strings of 1 to {} bytes, got {}", kMaxStopBytes,
           stop.size());
  SamplingParams params;
  params.temperature = c.temperature;
  params.top_k = c.top_k;
  params.top_p = c.top_p;
  params.min_p = c.min_p;
  params.repetition_penalty = c.repetition_penalty;
  params.presence_penalty = c.presence_penalty;
  params.frequency_penalty = c.frequency_penalty;
  params.logit_bias = c.logit_bias;
  params.num_logprobs = c.logprobs;
  params.min_new_tokens = c.min_new_tokens;
  std::random_device device;
  params.seed = c.seed ? *c.seed : (uint64_t{device()} << 32 | device());
  return params;
}

}  // namespace turgo
