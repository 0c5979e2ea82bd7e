// `turgo bench`: prefill and decode speed of one request, beside what the memory can deliver.
#include <algorithm>
#include <chrono>
#include <random>

#include "apps/command.h"
#include "apps/host_info.h"
#include "apps/json_output.h"
#include "apps/read_bandwidth.h"
#include "core/error.h"
#include "pipeline/pipeline.h"

namespace turgo {
namespace {

struct Bench {
  std::string model;
  int32_t prompt_tokens = 512, gen_tokens = 128, repeat = 3;
  bool json = false;
  PipelineConfig pipeline;
};

void fill(Bench& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file; needs no tokenizer").positional();
  list.add("prompt_tokens", &o.prompt_tokens, "tokens of the prompt").range(1, 1 << 24).label("N");
  list.add("gen_tokens", &o.gen_tokens, "tokens of the answer").range(2, 1 << 24).label("N");
  list.add("repeat", &o.repeat, "runs; the median counts").range(1, 1000).label("N");
  list.add("json", &o.json, "print JSON");
  list_options(o.pipeline, list, false);
}

struct Speed {
  double prefill = 0, decode = 0;  // tokens per second
};

// As the consumer sees it: prefill until the first token arrives, decode from there to the last.
Speed run_once(Pipeline& pipeline, int32_t prompt_tokens, int32_t gen_tokens, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<int32_t> any(0, pipeline.vocab_size() - 1);
  std::vector<int32_t> ids(static_cast<size_t>(prompt_tokens));
  for (int32_t& id : ids) id = any(random);
  GenerationConfig config;
  config.max_new_tokens = gen_tokens;
  config.ignore_eos = true;
  config.temperature = 0;
  using Clock = std::chrono::steady_clock;
  auto since = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  auto start = Clock::now();
  TextStream stream = pipeline.generate({Segment::from_tokens(std::move(ids))}, config);
  Speed speed;
  size_t num_tokens = 0, num_first = 0;
  auto first = start;
  while (auto event = stream.next()) {
    if (event->finish == FinishReason::kError) fail(ErrorCode::kResourceExhausted, "{}", event->error);
    if (num_tokens == 0 && !event->tokens.empty()) {
      speed.prefill = prompt_tokens / since(start);
      first = Clock::now();
      num_first = event->tokens.size();
    }
    num_tokens += event->tokens.size();
    if (event->finish != FinishReason::kNone) break;
  }
  CHECK_EQ(num_tokens, static_cast<size_t>(gen_tokens));
  speed.decode = static_cast<double>(num_tokens - num_first) / since(first);
  return speed;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

int run(const Bench& o) {
  PipelineConfig config = o.pipeline;
  config.needs_tokenizer = false;
  config.enable_prefix_caching = false;
  auto pipeline = Pipeline::open(o.model, config);
  if (o.prompt_tokens + int64_t{o.gen_tokens} > pipeline->session_len())
    fail(ErrorCode::kTooLong,
         "--prompt-tokens and --gen-tokens: expected at most {} together, the context, got {}",
         pipeline->session_len(), o.prompt_tokens + int64_t{o.gen_tokens});
  run_once(*pipeline, std::min(o.prompt_tokens, 64), 4, 0);  // pages in, clocks up
  std::vector<double> prefill, decode;
  for (int32_t i = 0; i < o.repeat; ++i) {
    Speed speed = run_once(*pipeline, o.prompt_tokens, o.gen_tokens, static_cast<uint32_t>(i + 1));
    prefill.push_back(speed.prefill);
    decode.push_back(speed.decode);
  }
  int64_t peak = peak_resident_bytes();  // before the buffer of the bandwidth measurement
  const ModelInfo& info = pipeline->info();
  double bandwidth = measure_read_bandwidth(pipeline->team(), info.weight_bytes);
  double context = o.prompt_tokens + o.gen_tokens / 2.0;
  double bytes_per_token =
      static_cast<double>(info.decode_bytes) + context * static_cast<double>(info.kv_bytes_per_token);
  double share = median(decode) * bytes_per_token / bandwidth;
  if (o.json) {
    write_json({{"prefill_tok_s", median(prefill)},
                {"decode_tok_s", median(decode)},
                {"peak_rss_bytes", peak},
                {"read_bandwidth_gb_s", bandwidth / 1e9},
                {"decode_bandwidth_share", share},
                {"prompt_tokens", o.prompt_tokens},
                {"gen_tokens", o.gen_tokens},
                {"repeat", o.repeat},
                {"prefill_runs", prefill},
                {"decode_runs", decode},
                {"weight_bytes", info.weight_bytes},
                {"decode_bytes_per_token", bytes_per_token},
                {"threads", pipeline->team().size()},
                {"precision", info.precision},
                {"kv_type", info.kv_type},
                {"kv_bytes_per_token", info.kv_bytes_per_token}});
    return 0;
  }
  write_stdout(
      fmt::format("prefill {:.1f} tok/s ({} tokens), decode {:.1f} tok/s ({} tokens), median of {}\n"
                  "peak memory {:.0f} MiB; memory read {:.1f} GB/s, of which decoding uses {:.0f} % ({:.1f} "
                  "MB per token)\n"
                  "{} threads, {} arithmetic, {} KV cache of {:.1f} KiB per token\n",
                  median(prefill), o.prompt_tokens, median(decode), o.gen_tokens, o.repeat,
                  static_cast<double>(peak) / (1 << 20), bandwidth / 1e9, 100 * share, bytes_per_token / 1e6,
                  pipeline->team().size(), info.precision, info.kv_type,
                  static_cast<double>(info.kv_bytes_per_token) / 1024));
  return 0;
}

}  // namespace

Command bench_command() {
  return make_command("bench", "Measure prefill and decode speed", fill, run);
}

}  // namespace turgo
