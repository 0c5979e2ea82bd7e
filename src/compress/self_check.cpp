#include "compress/self_check.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "eval/kl_divergence.h"

namespace turgo {
namespace {

constexpr int32_t kContext = 512;
constexpr int32_t kSpeedTokens = 48;

PipelineConfig config_of(const char* precision, int32_t threads) {
  PipelineConfig config;
  config.precision = precision;
  config.threads = threads;
  config.session_len = kContext + kSpeedTokens + 64;
  config.max_batch_size = 1;
  return config;
}

double decode_speed(Pipeline& pipeline, const std::vector<int32_t>& ids) {
  GenerationConfig generation;
  generation.max_new_tokens = kSpeedTokens;
  generation.ignore_eos = true;
  generation.temperature = 0;
  std::vector<int32_t> prompt(ids.begin(),
                              ids.begin() + std::min<ptrdiff_t>(32, static_cast<ptrdiff_t>(ids.size())));
  Answer answer = pipeline.generate_from(std::move(prompt), generation).collect();
  const double seconds = answer.stats.decode_seconds;
  return seconds > 0 ? static_cast<double>(answer.tokens.size() - 1) / seconds : 0;
}

}  // namespace

SelfCheck check_result(const std::string& source, const std::string& result, const std::vector<int32_t>& ids,
                       int32_t threads) {
  SelfCheck check;
  check.num_tokens = static_cast<int64_t>(ids.size());
  {
    auto plain = Pipeline::open(source, config_of("auto", threads));
    check.source_bytes = plain->info().weight_bytes;
    check.source_decode_tokens_per_second = decode_speed(*plain, ids);
  }
  std::shared_ptr<Pipeline> model = Pipeline::open(result, config_of("auto", threads));
  check.bytes = model->info().weight_bytes;
  check.decode_tokens_per_second = decode_speed(*model, ids);
  const Tokenizer& tokenizer = model->tokenizer();
  auto windows = cut_windows(ids, kContext, tokenizer.add_bos() ? tokenizer.bos_id() : -1);
  auto reference = model_logits(Pipeline::open(source, config_of("f32", threads)));
  KlResult kl = measure_kl(*model_logits(model), *reference, windows);
  check.mean_kl = kl.mean;
  check.top1 = kl.top1_agreement;
  check.perplexity = std::exp(kl.model_nll);
  check.source_perplexity = std::exp(kl.reference_nll);
  return check;
}

Json to_json(const SelfCheck& c) {
  return {{"tokens", c.num_tokens},
          {"source_perplexity", c.source_perplexity},
          {"perplexity", c.perplexity},
          {"mean_kl", c.mean_kl},
          {"top1_agreement", c.top1},
          {"source_weight_bytes", c.source_bytes},
          {"weight_bytes", c.bytes},
          {"source_decode_tokens_per_second", c.source_decode_tokens_per_second},
          {"decode_tokens_per_second", c.decode_tokens_per_second}};
}

}  // namespace turgo
