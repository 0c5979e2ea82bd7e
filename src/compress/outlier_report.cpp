#include "compress/outlier_report.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compress/generated_text.h"
#include "compress/layer_runner.h"
#include "compress/packed_formats.h"
#include "core/error.h"
#include "core/progress.h"
#include "eval/kl_divergence.h"
#include "io/atomic_file.h"
#include "io/npy.h"
#include "io/safetensors_writer.h"
#include "pipeline/load_tokenizer.h"

namespace turgo {
namespace {

constexpr std::array<const char*, kNumLinearInputs> kInputNames = {"qkv", "o_proj", "gate_up", "down_proj"};

struct ChannelStats {
  std::vector<float> absmax;
  std::vector<double> abs_sum;
  int64_t num_tokens = 0;

  void add(const TensorView& x) {
    const auto k = static_cast<size_t>(x.shape[1]);
    absmax.resize(k);
    abs_sum.resize(k);
    const float* row = x.as<float>();
    for (int64_t r = 0; r < x.shape[0]; ++r, row += k)
      for (size_t j = 0; j < k; ++j) {
        const float a = std::fabs(row[j]);
        absmax[j] = std::max(absmax[j], a);
        abs_sum[j] += static_cast<double>(a);
      }
    num_tokens += x.shape[0];
  }
};

Json summary(const char* name, const ChannelStats& stats) {
  std::vector<size_t> order(stats.absmax.size());
  for (size_t j = 0; j < order.size(); ++j) order[j] = j;
  std::ranges::sort(order, std::greater{}, [&](size_t j) { return stats.absmax[j]; });
  const float median = stats.absmax[order[order.size() / 2]];
  Json top = Json::array();
  for (size_t i = 0; i < std::min<size_t>(4, order.size()); ++i)
    top.push_back({{"channel", order[i]}, {"absmax", stats.absmax[order[i]]}});
  return {{"input", name},
          {"width", order.size()},
          {"median_absmax", median},
          {"ratio", stats.absmax[order[0]] / std::max(median, 1e-20f)},
          {"largest", top}};
}

void make_folder(const OutlierJob& job, const char* file) {
  if (job.target.empty()) return;
  std::error_code e;
  std::filesystem::create_directories(job.target, e);
  if (e) fail(ErrorCode::kIo, "cannot create {}: {}", quote(job.target, 200), e.message());
  if (!job.force && std::filesystem::exists(std::filesystem::path(job.target) / file, e))
    fail(ErrorCode::kInvalidArgument, "--work-dir {}: {} is there already; say --force to replace it",
         quote(job.target, 200), file);
}

void write_report(const OutlierJob& job, const char* file, const Json& report) {
  if (job.target.empty()) return;
  AtomicFile out(job.target + "/" + file);
  out.write(report.dump(1) + "\n");
  out.commit();
}

void write_stats(const std::string& path, const std::vector<std::array<ChannelStats, 4>>& layers) {
  SafetensorsWriter writer(path);
  auto for_each = [&](auto&& f) {
    for (size_t i = 0; i < layers.size(); ++i)
      for (size_t input = 0; input < kInputNames.size(); ++input) {
        const ChannelStats& s = layers[i][input];
        if (s.absmax.empty()) continue;
        std::vector<float> mean(s.absmax.size());
        for (size_t j = 0; j < mean.size(); ++j)
          mean[j] = static_cast<float>(s.abs_sum[j] / static_cast<double>(s.num_tokens));
        const std::string name = fmt::format("model.layers.{}.{}", i, kInputNames[input]);
        const Shape shape{static_cast<int64_t>(mean.size())};
        f(dense_tensor(name + ".absmax", s.absmax.data(), shape, DType::kF32));
        f(dense_tensor(name + ".absmean", mean.data(), shape, DType::kF32));
      }
  };
  for_each([&](const OutputTensor& t) { writer.declare(t.name, t.dtype, t.shape); });
  for_each([&](const OutputTensor& t) { writer.write_tensor(t.bytes); });
  writer.finish();
}

PipelineConfig cache_config(int32_t threads, int32_t quant_policy, int32_t tokens) {
  PipelineConfig config;
  config.threads = threads;
  config.quant_policy = quant_policy;
  config.session_len = tokens + 8;
  config.max_batch_size = 1;
  return config;
}

// The reference's logits in a file that goes with it: they are made once, and one model is in memory at a
// time.
class KeptLogits {
 public:
  KeptLogits(const std::string& folder, Pipeline& reference, const std::vector<TokenWindow>& windows)
      : path_(fmt::format("{}/turgo-logits-{}.npy",
                          folder.empty() ? std::filesystem::temp_directory_path().string() : folder,
                          ::getpid())) {
    NpyWriter writer(path_, reference.vocab_size());
    for (const TokenWindow& window : windows)
      window_logits(reference, window, [&](int32_t, std::span<const float> row) { writer.write_rows(row); });
    writer.finish();
  }
  ~KeptLogits() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  KeptLogits(const KeptLogits&) = delete;
  KeptLogits& operator=(const KeptLogits&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct CacheResult {
  KlResult kl;
  int64_t bytes_per_token;
};

CacheResult measure_cache(const OutlierJob& job, int32_t policy, const KeptLogits& reference,
                          const std::vector<TokenWindow>& windows) {
  auto pipeline = std::shared_ptr<Pipeline>(
      Pipeline::open(job.model, cache_config(job.threads, policy, job.calibration.seqlen)));
  const auto logits = open_npy_logits(reference.path());
  return {measure_kl(*model_logits(pipeline), *logits, windows), pipeline->info().kv_bytes_per_token};
}

}  // namespace

Json report_input_outliers(const OutlierJob& job) {
  make_folder(job, "calibration.json");
  SourceModel source(job.model, job.allow_requantize);
  auto tokenizer = load_tokenizer(source.file());
  if (!tokenizer)
    fail(ErrorCode::kUnsupported, "{}: has no tokenizer, so no text can be calibrated on",
         quote(job.model, 200));
  const CalibrationSamples samples = calibration_of(job.model, job.calibration, *tokenizer, job.threads);
  const KernelTable* kernels = select_kernels(std::getenv("TURGO_ISA"));
  if (!kernels) fail(ErrorCode::kInvalidArgument, "TURGO_ISA: this CPU has no such kernels");
  TeamMath math(std::make_shared<ThreadTeam>(job.threads), *kernels);
  HiddenStates states = embed_samples(source, samples.ids);
  std::vector<std::array<ChannelStats, 4>> layers(static_cast<size_t>(source.config().num_layers()));
  Json report = Json::array();
  ProgressBar bar("calibrating");
  const auto bytes = static_cast<int64_t>(source.file().total_bytes());
  for (size_t i = 0; i < layers.size(); ++i) {
    LayerRunner(source.config(), math)
        .run(source.load_layer(static_cast<int>(i)), states,
             [&](LinearInput input, TensorView x) { layers[i][static_cast<size_t>(input)].add(x); });
    Json inputs = Json::array();
    for (size_t input = 0; input < kInputNames.size(); ++input)
      if (!layers[i][input].absmax.empty()) inputs.push_back(summary(kInputNames[input], layers[i][input]));
    report.push_back({{"layer", i}, {"inputs", inputs}});
    bar.show(bytes * static_cast<int64_t>(i + 1) / static_cast<int64_t>(layers.size()), bytes);
  }
  Json result = {{"text", samples.source}, {"calibration_tokens", samples.num_tokens}, {"layers", report}};
  if (!job.target.empty()) write_stats(job.target + "/input_stats.safetensors", layers);
  write_report(job, "calibration.json", result);
  return result;
}

Json report_kv_cache(const OutlierJob& job, double max_loss) {
  make_folder(job, "kv_cache.json");
  struct Kind {
    const char* name;
    int32_t policy;
  };
  constexpr Kind kKinds[] = {{"int8", 8}, {"k8v4", 84}, {"int4", 4}};
  const int32_t ctx = job.calibration.seqlen;
  auto reference = Pipeline::open(job.model, cache_config(job.threads, 0, ctx));
  CalibrationSamples samples =
      calibration_of(job.model, job.calibration, reference->tokenizer(), job.threads);
  std::vector<TokenWindow> windows;
  int64_t row = 0;
  const int32_t prefix = reference->tokenizer().add_bos() && reference->tokenizer().bos_id() >= 0 ? 1 : 0;
  for (auto& ids : samples.ids) {
    windows.push_back({std::move(ids), prefix, row});
    row += windows.back().num_tokens();
  }
  const KeptLogits kept(job.target, *reference, windows);
  const int64_t bf16_bytes = reference->info().kv_bytes_per_token;
  reference.reset();
  Json kinds = Json::array();
  std::string advice = "bf16";
  int32_t policy = 0;
  double bf16_perplexity = 0;
  for (const Kind& kind : kKinds) {
    auto [kl, bytes] = measure_cache(job, kind.policy, kept, windows);
    const double loss = std::exp(kl.model_nll - kl.reference_nll) - 1;
    bf16_perplexity = std::exp(kl.reference_nll);
    kinds.push_back({{"cache", kind.name},
                     {"quant_policy", kind.policy},
                     {"bytes_per_token", bytes},
                     {"perplexity", std::exp(kl.model_nll)},
                     {"perplexity_loss", loss},
                     {"mean_kl", kl.mean},
                     {"top1_agreement", kl.top1_agreement}});
    if (loss <= max_loss) advice = kind.name, policy = kind.policy;
  }
  Json result = {{"text", samples.source},
                 {"tokens", row},
                 {"ctx", ctx},
                 {"bf16_perplexity", bf16_perplexity},
                 {"bf16_bytes_per_token", bf16_bytes},
                 {"caches", kinds},
                 {"max_loss", max_loss},
                 {"advice", advice},
                 {"quant_policy", policy}};
  write_report(job, "kv_cache.json", result);
  return result;
}

}  // namespace turgo
