#include "apps/bench_report.h"

#include <fmt/format.h>

#include "apps/bench_speed.h"
#include "apps/json_output.h"

namespace turgo {
namespace {

double peak_of(const MachineLimits& limits, Precision p) {
  return p == Precision::kInt8 ? limits.int8_ops : p == Precision::kBF16 ? limits.bf16_ops : limits.f32_ops;
}

double peak_of(const BenchReport& r) {
  const std::string& p = r.info.precision;
  return peak_of(r.limits, p == "int8" ? Precision::kInt8 : p == "bf16" ? Precision::kBF16 : Precision::kF32);
}

// Work per second against the limits.
struct Shares {
  double ops = 0, bytes = 0;             // per second
  double of_peak = 0, of_bandwidth = 0;  // 0 where the peak is not known
  const char* bound() const { return of_peak > of_bandwidth ? "compute-bound" : "memory-bound"; }
};

Shares shares(double ops, double bytes, double seconds, double peak, double bandwidth) {
  Shares s;
  if (seconds <= 0) return s;
  s.ops = ops / seconds;
  s.bytes = bytes / seconds;
  s.of_peak = peak > 0 ? s.ops / peak : 0;
  s.of_bandwidth = s.bytes / bandwidth;
  return s;
}

// Products with weights only; attention's are in --profile.
Shares prefill_shares(const BenchReport& r) {
  double n = r.prompt_tokens;
  double ops = 2 * (n * static_cast<double>(r.info.layer_weights) + static_cast<double>(r.info.head_weights));
  return shares(ops, static_cast<double>(r.info.decode_bytes), n / median(r.prefill), peak_of(r),
                r.limits.read_bytes);
}

double mean_context(const BenchReport& r) {
  return r.context + r.gen_tokens / 2.0;
}

double step_bytes(const BenchReport& r, int32_t batch) {
  return static_cast<double>(r.info.decode_bytes) +
         batch * mean_context(r) * static_cast<double>(r.info.kv_bytes_per_token);
}

Shares decode_shares(const BenchReport& r, const BatchResult& b) {
  double ops = 2.0 * b.batch * static_cast<double>(r.info.layer_weights + r.info.head_weights);
  return shares(ops, step_bytes(r, b.batch), b.batch / median(b.decode), peak_of(r), r.limits.read_bytes);
}

Shares phase_shares(const BenchReport& r, const PhaseCost& c) {
  return shares(c.ops, c.bytes, c.seconds, peak_of(r.limits, c.precision), r.limits.read_bytes);
}

double total_seconds(const StepCosts& step) {
  double sum = 0;
  for (const PhaseCost& c : step.phases) sum += c.seconds;
  return sum;
}

std::string profile_text(const BenchReport& r, const char* name, const StepCosts& step) {
  if (step.num_steps == 0) return "";
  double total = total_seconds(step), steps = static_cast<double>(step.num_steps);
  std::string text = fmt::format("\n{}: {} steps of {:.3f} ms\n{:<10} {:>9} {:>6} {:>7} {:>7} {:>7} {:>7}\n",
                                 name, step.num_steps, 1e3 * total / steps, "phase", "ms/step", "time",
                                 "GB/s", "% read", "TOPS", "% peak");
  for (int i = 0; i < kNumPhases; ++i) {
    const PhaseCost& c = step.phases[static_cast<size_t>(i)];
    if (c.calls == 0) continue;
    Shares s = phase_shares(r, c);
    text += fmt::format("{:<10} {:>9.3f} {:>4.0f} % {:>7.1f} {:>7.0f} {:>7.3f} {:>7.0f}  {}\n",
                        phase_name(static_cast<Phase>(i)), 1e3 * c.seconds / steps, 100 * c.seconds / total,
                        s.bytes / 1e9, 100 * s.of_bandwidth, s.ops / 1e12, 100 * s.of_peak,
                        c.ops > 0 ? s.bound() : "");
  }
  return text;
}

Json to_json(const Shares& s) {
  return {{"gb_s", s.bytes / 1e9},
          {"bandwidth_share", s.of_bandwidth},
          {"tops", s.ops / 1e12},
          {"peak_share", s.of_peak},
          {"bound", s.bound()}};
}

Json profile_json(const BenchReport& r, const StepCosts& step) {
  Json phases = Json::object();
  for (int i = 0; i < kNumPhases; ++i) {
    const PhaseCost& c = step.phases[static_cast<size_t>(i)];
    if (c.calls == 0) continue;
    Json one = to_json(phase_shares(r, c));
    one["seconds"] = c.seconds;
    phases[phase_name(static_cast<Phase>(i))] = std::move(one);
  }
  return {{"steps", step.num_steps}, {"seconds", total_seconds(step)}, {"phases", std::move(phases)}};
}

}  // namespace

void print_text(const BenchReport& r) {
  const MachineLimits& l = r.limits;
  std::string text = fmt::format(
      "limits   read {:.1f} GB/s over {:.0f} MB; int8 {:.2f} TOPS, bf16 {:.2f} TFLOPS ({}, {} threads)\n",
      l.read_bytes / 1e9, static_cast<double>(r.info.weight_bytes) / 1e6, l.int8_ops / 1e12,
      l.bf16_ops / 1e12, r.info.kernels, r.threads);
  Shares p = prefill_shares(r);
  text += fmt::format(
      "prefill  {:.1f} tok/s ({} tokens, median of {}): {:.2f} TOPS, {:.0f} % of the {} peak, {}\n",
      median(r.prefill), r.prompt_tokens, r.repeat, p.ops / 1e12, 100 * p.of_peak, r.info.precision,
      p.bound());
  text += fmt::format("decode   {} tokens after {}, median of {}, {} KV cache of {:.1f} KiB per token\n",
                      r.gen_tokens, r.context, r.repeat, r.info.kv_type,
                      static_cast<double>(r.info.kv_bytes_per_token) / 1024);
  text += fmt::format("{:>7} {:>9} {:>9} {:>7} {:>7} {:>7} {:>7}\n", "batch", "tok/s", "MB/step", "GB/s",
                      "% read", "TOPS", "% peak");
  for (const BatchResult& b : r.batches) {
    Shares s = decode_shares(r, b);
    text += fmt::format("{:>7} {:>9.1f} {:>9.1f} {:>7.1f} {:>7.0f} {:>7.3f} {:>7.0f}  {}\n", b.batch,
                        median(b.decode), step_bytes(r, b.batch) / 1e6, s.bytes / 1e9, 100 * s.of_bandwidth,
                        s.ops / 1e12, 100 * s.of_peak, s.bound());
  }
  text += fmt::format("memory   {:.0f} MiB at most\n", static_cast<double>(r.peak_bytes) / (1 << 20));
  if (r.profile)
    text += profile_text(r, "prefill steps", r.profile->prefill) +
            profile_text(r, "decode steps", r.profile->decode);
  write_stdout(text);
}

void print_json(const BenchReport& r) {
  const BatchResult& first = r.batches[0];
  Json batches = Json::array();
  for (const BatchResult& b : r.batches) {
    Json one = to_json(decode_shares(r, b));
    one["batch"] = b.batch;
    one["decode_tok_s"] = median(b.decode);
    one["decode_runs"] = b.decode;
    batches.push_back(std::move(one));
  }
  Json out = {{"prefill_tok_s", median(r.prefill)},
              {"decode_tok_s", median(first.decode)},
              {"peak_rss_bytes", r.peak_bytes},
              {"read_bandwidth_gb_s", r.limits.read_bytes / 1e9},
              {"decode_bandwidth_share", decode_shares(r, first).of_bandwidth},
              {"int8_tops", r.limits.int8_ops / 1e12},
              {"bf16_tflops", r.limits.bf16_ops / 1e12},
              {"prefill", to_json(prefill_shares(r))},
              {"batches", std::move(batches)},
              {"prompt_tokens", r.prompt_tokens},
              {"gen_tokens", r.gen_tokens},
              {"context", r.context},
              {"repeat", r.repeat},
              {"prefill_runs", r.prefill},
              {"decode_runs", first.decode},
              {"weight_bytes", r.info.weight_bytes},
              {"decode_bytes_per_token", step_bytes(r, first.batch) / first.batch},
              {"threads", r.threads},
              {"kernels", r.info.kernels},
              {"precision", r.info.precision},
              {"kv_type", r.info.kv_type},
              {"kv_bytes_per_token", r.info.kv_bytes_per_token}};
  if (r.profile)
    out["profile"] = {{"prefill", profile_json(r, r.profile->prefill)},
                      {"decode", profile_json(r, r.profile->decode)}};
  write_json(out);
}

}  // namespace turgo
