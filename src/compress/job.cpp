#include "compress/job.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compress/generated_text.h"
#include "compress/self_check.h"
#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"
#include "io/atomic_file.h"
#include "pipeline/load_tokenizer.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<int64_t> input_widths(const DecoderConfig& c) {
  std::vector<int64_t> widths;
  for (const LayerConfig& l : c.layers) {
    if (l.attention != AttentionKind::kNone) {
      widths.push_back(c.hidden_size);
      widths.push_back(int64_t{l.num_heads} * l.head_dim);
    }
    if (l.mlp != MlpKind::kNone) widths.push_back(l.intermediate_size);
  }
  return widths;
}

// One group size for the whole model: the files have one.
void settle_group_size(const SourceModel& source, QuantSpec& spec) {
  if (spec.group_size < 0) return;
  const int64_t size = common_group_size(input_widths(source.config()), spec.group_size);
  if (size == 0)
    fail(ErrorCode::kInvalidArgument,
         "--w-group-size {}: no group of 8 or more divides every row of this model; use --w-group-size -1 "
         "(per channel)",
         spec.group_size);
  if (size != spec.group_size)
    log_warning("--w-group-size {} does not divide every row of this model: using {}", spec.group_size, size);
  spec.group_size = size;
}

Json identity_of(const CompressionJob& job, const SourceModel& source, const CalibrationSamples& samples) {
  const Recipe& r = job.recipe;
  return {{"version", 1},
          {"source", source.file().fingerprint()},
          {"method", method_name(r.method)},
          {"quantize", r.quantize},
          {"bits", r.spec.bits},
          {"group_size", r.spec.group_size},
          {"symmetric", r.spec.symmetric},
          {"e4m3", r.spec.e4m3},
          {"widths", r.widths},
          {"awq",
           {r.awq.scale, r.awq.clip, r.awq.grid_points, r.awq.lmdeploy_smoothing, r.awq.alpha,
            r.awq.block_objective}},
          {"gptq", {r.gptq.act_order, r.gptq.damping, r.gptq.clip}},
          {"sparsity", {r.sparsity.ratio, r.sparsity.n, r.sparsity.m}},
          {"format",
           {static_cast<int>(job.format.container), static_cast<int>(job.format.folder),
            static_cast<int>(job.format.dense), static_cast<int>(job.format.block)}},
          {"calibration", samples.hash}};
}

Json report_of(const CompressedLayer& layer) {
  Json folds = Json::array(), linears = Json::array();
  for (const AwqFold& f : layer.folds)
    folds.push_back(
        {{"what", f.what}, {"ratio", f.ratio}, {"loss_before", f.loss_before}, {"loss_after", f.loss_after}});
  for (const LinearReport& l : layer.linears) {
    Json one = {{"name", l.name}};
    if (l.relative_error >= 0) one["relative_error"] = l.relative_error;
    if (l.num_zeros > 0) one["zeros"] = l.num_zeros;
    if (l.fell_back) one["fell_back_to_rounding"] = true;
    if (l.damping > 0) one["damping"] = l.damping;
    linears.push_back(std::move(one));
  }
  return {{"layer", layer.layer.index},
          {"intermediate_size", layer.layer.config.intermediate_size},
          {"folds", folds},
          {"linears", linears}};
}

std::string worst_layers(const std::vector<Json>& reports) {
  std::vector<std::pair<double, std::string>> all;
  for (const Json& layer : reports)
    for (const Json& l : layer["linears"])
      if (l.contains("relative_error"))
        all.emplace_back(l["relative_error"].get<double>(), l["name"].get<std::string>());
  std::ranges::sort(all, std::greater{});
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(3, all.size()); ++i)
    text += fmt::format("{}{} ({:.2g})", i ? ", " : "", all[i].second, all[i].first);
  return text;
}

// Operations per second of the products that compression is made of: the best of a few, since others may hold
// the cores for longer than one takes.
double measured_rate(const TeamMath& math) {
  constexpr int64_t kSize = 512;
  std::vector<float> a(kSize * kSize, 0.5f), y(kSize * kSize);
  PackedMatrix b(a.data(), kSize, kSize, math.team());
  math.multiply(a.data(), kSize, b, y.data());
  double best = 1e9;  // seconds
  for (int i = 0; i < 8; ++i) {
    const auto start = Clock::now();
    math.multiply(a.data(), kSize, b, y.data());
    best = std::min(best, seconds_since(start));
  }
  return 2.0 * kSize * kSize * kSize / best;
}

std::string time_text(double seconds) {
  return seconds < 90 ? fmt::format("{:.0f} s", seconds) : fmt::format("{:.0f} min", seconds / 60);
}

constexpr size_t kHeldOutTokens = 2048;

struct JobText {
  CalibrationSamples samples;
  std::vector<int32_t> held_out;  // what the self-check measures on
};

// Calibration takes the front of the text, the self-check its end.
JobText cut_text(const CompressionJob& job, const Tokenizer& tokenizer) {
  CalibrationRequest request = job.calibration;
  request.num_samples += 5;
  JobText text{read_calibration(request, tokenizer), {}};
  auto& ids = text.samples.ids;
  while (ids.size() > 8 && text.held_out.size() < kHeldOutTokens) {
    text.held_out.insert(text.held_out.begin(), ids.back().begin(), ids.back().end());
    ids.pop_back();
  }
  if (static_cast<int>(ids.size()) > job.calibration.num_samples)
    ids.resize(static_cast<size_t>(job.calibration.num_samples));
  return text;
}

// The model's own text flatters a result that was fitted to it: the check is made on the tales. A dry run
// only says how much text there would be.
JobText written_text(const CompressionJob& job, const Tokenizer& tokenizer) {
  JobText text;
  if (job.dry_run) {
    text.samples.source = "text that the model will write";
    text.samples.ids.assign(static_cast<size_t>(job.calibration.num_samples),
                            std::vector<int32_t>(static_cast<size_t>(job.calibration.seqlen)));
    return text;
  }
  text.samples = generate_calibration(job.model, job.calibration, job.threads);
  const CalibrationRequest tales{kBundledDataset, 4, static_cast<int32_t>(kHeldOutTokens / 4)};
  for (const auto& ids : read_calibration(tales, tokenizer).ids)
    text.held_out.insert(text.held_out.end(), ids.begin(), ids.end());
  return text;
}

JobText read_text(const CompressionJob& job, const SourceModel& source) {
  if (!job.recipe.needs_calibration() && !job.self_check) return {};
  auto tokenizer = load_tokenizer(source.file());
  if (!tokenizer)
    fail(ErrorCode::kUnsupported, "{}: has no tokenizer, so no text can be calibrated on",
         quote(job.model, 200));
  JobText text = job.calibration.dataset == kGeneratedDataset ? written_text(job, *tokenizer)
                                                              : cut_text(job, *tokenizer);
  text.samples.num_asked = job.calibration.num_samples;
  text.samples.num_tokens = 0;
  for (const auto& ids : text.samples.ids) text.samples.num_tokens += static_cast<int64_t>(ids.size());
  return text;
}

void announce(const CompressionJob& job, const SourceModel& source, const CalibrationSamples& samples,
              const Compressor& compressor, const TeamMath& math) {
  if (std::string type = source.quantized_type(); !type.empty())
    log_warning(
        "the source holds {} blocks: what they lost already is not counted, the baseline is these weights",
        type);
  if (job.recipe.needs_calibration())
    fmt::print(stderr, "calibrating on {} samples of up to {} tokens ({} tokens, {} were asked for) of {}\n",
               samples.ids.size(), job.calibration.seqlen, samples.num_tokens, samples.num_asked,
               samples.source);
  fmt::print(stderr, "needs about {} MB beside the mapped model and about {}\n",
             (compressor.peak_bytes(samples.num_tokens) >> 20) + 64,
             time_text(compressor.operations(samples.num_tokens) / measured_rate(math) + 2));
}

// Bits per matrix, and what they were chosen by for the report.
std::map<std::string, int> choose_widths(const CompressionJob& job, const SourceModel& source,
                                         const CalibrationSamples& samples, const Compressor& compressor,
                                         const TeamMath& math, Json& report) {
  std::vector<int32_t> probe_ids = samples.ids.back();
  probe_ids.resize(std::min(probe_ids.size(), static_cast<size_t>(kProbeTokens)));
  ModelTail tail(source, math, {probe_ids});
  HiddenStates states = embed_samples(source, samples.ids), probe = tail.embedded();
  std::vector<WidthCosts> costs;
  ProgressBar bar("measuring");
  const auto bytes = static_cast<int64_t>(source.file().total_bytes());
  const int num_layers = source.config().num_layers();
  const auto start = Clock::now();
  for (int i = 0; i < num_layers; ++i) {
    for (WidthCosts& cost : compressor.width_costs(i, states, probe, tail)) costs.push_back(std::move(cost));
    bar.show(bytes * (i + 1) / num_layers, bytes);
    if (i % 5 == 4)
      log_info("layer {} of {} measured, about {} left", i + 1, num_layers,
               time_text(seconds_since(start) / (i + 1) * (num_layers - i - 1)));
  }
  const std::vector<int> widths = share_out_widths(costs, job.recipe.target_bits);
  std::map<std::string, int> by_name;
  std::map<int, int> counts;
  report = Json::object();
  for (size_t i = 0; i < costs.size(); ++i) {
    by_name[costs[i].name] = widths[i];
    ++counts[widths[i]];
    report[costs[i].name] = {{"bits", widths[i]}, {"kl", costs[i].loss}};
  }
  fmt::print(stderr, "{} matrices get 2 bits, {} 3 bits, {} 4 bits\n", counts[2], counts[3], counts[4]);
  return by_name;
}

void solve_layers(const CompressionJob& job, const SourceModel& source, const CalibrationSamples& samples,
                  const Compressor& compressor, const TeamMath& math, WorkFolder& work) {
  HiddenStates states;
  const bool calibrated = job.recipe.needs_calibration();
  if (calibrated) states = embed_samples(source, samples.ids);
  const int num_layers = source.config().num_layers();
  if (work.num_done() > 0) {
    fmt::print(stderr, "going on at layer {} of {}\n", work.num_done(), num_layers);
    // Without kept states the original layers run again; only methods that never change them can do that.
    if (calibrated && !work.load_states(states)) {
      CHECK(!job.recipe.feeds_compressed(), "no states of layer {}", work.num_done());
      for (int i = 0; i < work.num_done(); ++i)
        LayerRunner(source.config(), math).run(source.load_layer(i), states, {});
    }
  }
  ProgressBar bar("compressing");
  const auto start = Clock::now();
  const int first = work.num_done();
  for (int i = first; i < num_layers; ++i) {
    CompressedLayer layer = compressor.compress(i, states);
    for (const LinearReport& l : layer.linears)
      if (l.fell_back)
        log_warning("{}: its statistics could not be factored; rounded to nearest instead", l.name);
    auto tensors = layer_tensors(layer, source, job.format);
    work.save_layer(tensors, report_of(layer), calibrated ? &states : nullptr);
    const auto bytes = static_cast<int64_t>(source.file().total_bytes());  // the bar counts bytes
    bar.show(bytes * (i + 1) / num_layers, bytes);
    if ((i - first) % 5 == 4)
      log_info("layer {} of {}, about {} left", i + 1, num_layers,
               time_text(seconds_since(start) / (i - first + 1) * (num_layers - i - 1)));
  }
}

}  // namespace

CompressionReport run_compression(CompressionJob job) {
  const auto start = Clock::now();
  SourceModel source(job.model, job.allow_requantize);
  if (job.recipe.quantize) settle_group_size(source, job.recipe.spec);
  if (job.format.container == Container::kGguf) job.format.block = gguf_type_of(job.recipe.spec);
  if (job.recipe.quantize && job.format.container == Container::kFolder &&
      job.format.folder != FolderFormat::kDense) {
    const SourceLayer layer = source.load_layer(0);
    for (const LinearMatrix* m : layer.linears())
      check_format(job.format.folder, job.recipe.spec, m->name, m->n, m->k);
  }
  const char* isa = std::getenv("TURGO_ISA");
  const KernelTable* kernels = select_kernels(isa);
  if (!kernels)
    fail(ErrorCode::kInvalidArgument, "TURGO_ISA={}: this CPU has no such kernels", quote(isa ? isa : ""));
  TeamMath math(std::make_shared<ThreadTeam>(job.threads), *kernels);
  if (!job.dry_run) check_target(job.target, job.model, job.force);  // before a long calibration
  const auto [samples, held_out] = read_text(job, source);
  const Compressor plan(source, job.recipe, math);
  announce(job, source, samples, plan, math);
  if (job.dry_run) return CompressionReport{};

  Json widths;
  if (job.recipe.target_bits > 0) job.recipe.widths = choose_widths(job, source, samples, plan, math, widths);
  const Compressor compressor(source, job.recipe, math);
  WorkFolder work(job.target, job.model, job.force, identity_of(job, source, samples));
  solve_layers(job, source, samples, compressor, math, work);
  DecoderConfig config = source.config();
  for (size_t i = 0; i < config.layers.size(); ++i)
    config.layers[i].intermediate_size = work.reports()[i]["intermediate_size"].get<int32_t>();
  work.finish(
      [&](const std::string& path) { write_result(source, config, job.recipe, job.format, work, path); });

  CompressionReport report;
  report.json = {{"method", method_name(job.recipe.method)},
                 {"bits", job.recipe.quantize ? Json(job.recipe.spec.bits) : Json(nullptr)},
                 {"numbers", job.recipe.spec.e4m3 ? "float8_e4m3fn" : "int"},
                 {"group_size", job.recipe.quantize ? Json(job.recipe.spec.group_size) : Json(nullptr)},
                 {"calibration_tokens", samples.num_tokens},
                 {"seconds", seconds_since(start)},
                 {"layers", work.reports()}};
  if (!widths.is_null()) report.json["widths"] = widths;
  if (job.self_check && held_out.size() >= 64) {
    SelfCheck check = check_result(job.model, job.target, held_out, job.threads);
    report.json["self_check"] = to_json(check);
    report.passed = check.mean_kl <= job.max_kl;
    fmt::print(stderr,
               "held-out text ({} tokens): perplexity {:.3f} -> {:.3f}, mean KL {:.2e}, top-1 {:.1f} %; "
               "weights {:.1f} -> {:.1f} MB\n",
               check.num_tokens, check.source_perplexity, check.perplexity, check.mean_kl, 100 * check.top1,
               static_cast<double>(check.source_bytes) / 1e6, static_cast<double>(check.bytes) / 1e6);
    if (!report.passed)
      fmt::print(stderr,
                 "turgo: the result is far from its source (mean KL {:.2f}, at most {:.2f} was expected); "
                 "worst: {}\n",
                 check.mean_kl, job.max_kl, worst_layers(work.reports()));
  }
  if (std::filesystem::is_directory(job.target)) {
    AtomicFile file(job.target + "/turgo_report.json");
    file.write(report.json.dump(1) + "\n");
    file.commit();
  }
  return report;
}

}  // namespace turgo
