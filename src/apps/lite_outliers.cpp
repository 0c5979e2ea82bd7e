// `turgo lite calibrate` and `turgo lite kv_qparams`: what stands out in a model's activations and cache.
#include "apps/calibration_options.h"
#include "apps/command.h"
#include "apps/json_output.h"
#include "apps/output.h"
#include "compress/outlier_report.h"
#include "core/error.h"

namespace turgo {
namespace {

struct OutlierFlags {
  OutlierJob job;
  double max_loss = 0.01;
  bool json = false;
};

void fill_common(OutlierFlags& o, OptionList& list) {
  list.add("model", &o.job.model, "model folder or GGUF file").positional();
  list.add("work_dir", &o.job.target, "folder for the report").label("DIR").shown_default("none is written");
  list.add("force", &o.job.force, "replace a report that is there");
  list_options(o.job.calibration, list);
  list.add("threads", &o.job.threads, "compute threads")
      .range(0, 4096)
      .label("N")
      .shown_default("one per core");
  list.add("json", &o.json, "print the whole report as JSON");
}

void fill_calibrate(OutlierFlags& o, OptionList& list) {
  o.job.allow_requantize = true;  // nothing is quantised here
  fill_common(o, list);
}

int run_calibrate(const OutlierFlags& o) {
  const Json report = report_input_outliers(o.job);
  if (o.json) {
    write_json(report);
    return 0;
  }
  std::string text = fmt::format("{:>5}  {:10} {:>10} {:>10} {:>8}  largest channels\n", "layer", "input",
                                 "absmax", "median", "ratio");
  for (const Json& layer : report["layers"])
    for (const Json& input : layer["inputs"]) {
      std::string channels;
      for (const Json& one : input["largest"])
        channels += fmt::format(" {} ({:.3g})", one["channel"].get<int64_t>(), one["absmax"].get<double>());
      text += fmt::format("{:>5}  {:10} {:>10.3g} {:>10.3g} {:>8.1f} {}\n", layer["layer"].get<int64_t>(),
                          input["input"].get<std::string>(), input["largest"][0]["absmax"].get<double>(),
                          input["median_absmax"].get<double>(), input["ratio"].get<double>(), channels);
    }
  write_stdout(text);
  return 0;
}

void fill_kv(OutlierFlags& o, OptionList& list) {
  o.job.calibration = {"", 4, 2048};
  fill_common(o, list);
  list.add("max_loss", &o.max_loss, "perplexity that the advised cache may cost, as a share")
      .range(0, 1)
      .label("X");
}

int run_kv(const OutlierFlags& o) {
  const Json r = report_kv_cache(o.job, o.max_loss);
  if (o.json) {
    write_json(r);
    return 0;
  }
  std::string text = fmt::format(
      "{:6} {:>12} {:>12} {:>9} {:>10} {:>8}   ({} tokens, windows of {})\n{:6} {:>12} {:>12.3f}\n", "cache",
      "bytes/token", "perplexity", "loss", "mean KL", "top-1", r["tokens"].get<int64_t>(),
      r["ctx"].get<int64_t>(), "bf16", r["bf16_bytes_per_token"].get<int64_t>(),
      r["bf16_perplexity"].get<double>());
  for (const Json& c : r["caches"])
    text += fmt::format("{:6} {:>12} {:>12.3f} {:>8.2f}% {:>10.2e} {:>7.1f}%\n",
                        c["cache"].get<std::string>(), c["bytes_per_token"].get<int64_t>(),
                        c["perplexity"].get<double>(), 100 * c["perplexity_loss"].get<double>(),
                        c["mean_kl"].get<double>(), 100 * c["top1_agreement"].get<double>());
  text += fmt::format("advice: --quant-policy {} ({}): the smallest that costs at most {:.2g} %\n",
                      r["quant_policy"].get<int>(), r["advice"].get<std::string>(), 100 * o.max_loss);
  write_stdout(text);
  return 0;
}

}  // namespace

Command lite_calibrate_command() {
  return make_command("lite calibrate", "Report which channels of a model's activations stand out",
                      fill_calibrate, run_calibrate);
}
Command lite_kv_qparams_command() {
  return make_command("lite kv_qparams", "Measure what a smaller KV cache costs and advise one", fill_kv,
                      run_kv,
                      "Scales of the KV cache are computed per token and head when it is written: there is "
                      "nothing to store. What this command finds is which --quant-policy a model bears.");
}

}  // namespace turgo
