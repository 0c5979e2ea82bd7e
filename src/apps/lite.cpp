// `turgo lite …`: quantise and prune a model. Flags are LMDeploy's where it has them.
#include "apps/calibration_options.h"
#include "apps/command.h"
#include "apps/json_output.h"
#include "apps/output.h"
#include "compress/generated_text.h"
#include "compress/job.h"
#include "core/error.h"
#include "core/log.h"

namespace turgo {
namespace {

struct LiteFlags {
  std::string model, work_dir, export_format;
  CalibrationRequest calibration;
  int32_t w_bits = 4;
  int64_t w_group_size = 128;
  bool w_sym = false, force = false, dry_run = false, no_check = false, json = false,
       allow_requantize = false;
  double max_kl = 1;
  int32_t threads = 0;
  // auto_awq
  bool search_scale = true, no_clip = false;
  std::string procedure = "search";
  std::string objective = "linear";
  double target_bits = 0;
  // auto_gptq
  bool no_act_order = false;
  double damping = 0.01;
  // smooth_quant
  std::string quant_dtype = "int8";
  // prune
  std::string method = "wanda", sparsity = "0.5";
  std::string dtype = "bfloat16";
};

void add_common(LiteFlags& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("work_dir", &o.work_dir, "where the result appears: a folder, or a file with --export gguf")
      .label("DIR")
      .required();
  list.add("force", &o.force, "replace what stands at --work-dir");
  list.add("dry_run", &o.dry_run, "only say what memory and time it needs");
  list.add("allow_requantize", &o.allow_requantize,
           "take a folder that AWQ, GPTQ or the like quantised already");
  list.add("no_check", &o.no_check, "do not load and measure the result");
  list.add("max_kl", &o.max_kl, "the check fails above this mean KL to the source").range(0).label("NATS");
  list.add("threads", &o.threads, "compute threads").range(0, 4096).label("N").shown_default("one per core");
  list.add("json", &o.json, "print the whole report as JSON");
}

void add_grid(LiteFlags& o, OptionList& list, std::vector<std::string> formats) {
  list.add("w_bits", &o.w_bits, "bits of a weight").range(2, 8).label("N");
  list.add("w_group_size", &o.w_group_size, "weights that share a scale; -1: a whole row")
      .range(-1, 1 << 20)
      .label("N");
  list.add("w_sym", &o.w_sym, "symmetric grids, without zero points");
  o.export_format = formats.front();
  list.add("export", &o.export_format, "file format of the result")
      .choices(std::move(formats))
      .label("FORMAT");
}

CompressionJob job_of(const LiteFlags& o, Method method) {
  CompressionJob job;
  job.model = o.model;
  job.target = o.work_dir;
  job.recipe.method = method;
  job.recipe.spec = {o.w_bits, o.w_group_size, o.w_sym};
  if (o.w_bits != 2 && o.w_bits != 3 && o.w_bits != 4 && o.w_bits != 8)
    fail(ErrorCode::kInvalidArgument, "--w-bits {}: expected 2, 3, 4 or 8", o.w_bits);
  job.calibration = o.calibration;
  job.force = o.force;
  job.dry_run = o.dry_run;
  job.allow_requantize = o.allow_requantize;
  job.self_check = !o.no_check;
  job.max_kl = o.max_kl;
  job.threads = o.threads;
  job.format.dense = DType::kF16;  // what AWQ and GPTQ loaders expect beside the packed matrices
  if (o.export_format == "gguf") job.format.container = Container::kGguf;
  for (FolderFormat f : {FolderFormat::kAwq, FolderFormat::kGptq, FolderFormat::kCompressedTensors,
                         FolderFormat::kSmoothQuant})
    if (o.export_format == folder_format_name(f)) job.format.folder = f;
  if (job.format.folder == FolderFormat::kAwq && o.w_bits != 4) {
    log_warning("AWQ files hold 4 bits: {} bits are written in GPTQ's format (v2)", o.w_bits);
    job.format.folder = FolderFormat::kGptq;
  }
  return job;
}

int finish(const LiteFlags& o, CompressionJob job) {
  CompressionReport report = run_compression(std::move(job));
  if (o.dry_run) return 0;
  if (o.json) {
    write_json(report.json);
  } else {
    write_stdout(fmt::format("{}\n", o.work_dir));
  }
  return report.passed ? 0 : 1;
}

void fill_rtn(LiteFlags& o, OptionList& list) {
  add_common(o, list);
  add_grid(o, list, {"awq", "gptq", "compressed-tensors", "gguf"});
}
int run_rtn(const LiteFlags& o) {
  return finish(o, job_of(o, Method::kRtn));
}

void fill_awq(LiteFlags& o, OptionList& list) {
  add_common(o, list);
  list_options(o.calibration, list);
  add_grid(o, list, {"awq", "gptq", "compressed-tensors", "gguf"});
  list.add("search_scale", &o.search_scale, "accepted for LMDeploy's users: the search is the default here");
  list.add("no_clip", &o.no_clip, "do not clip ranges");
  list.add("procedure", &o.procedure,
           "search, or lmdeploy: smoothing by absmax with alpha 0.5, no search, no clip")
      .choices({"search", "lmdeploy"})
      .label("NAME");
  list.add("objective", &o.objective,
           "what scales are searched by: the error of each linear, or of the block (AWQ's paper; slower)")
      .choices({"linear", "block"})
      .label("NAME");
  list.add("target_bits", &o.target_bits,
           "instead of --w-bits: 2, 3 or 4 bits a matrix and this many on average, by how far the answers "
           "move when it alone is rounded; needs and takes --export compressed-tensors")
      .range(0, 4)
      .label("X")
      .shown_default("one width for all");
}
int run_awq(const LiteFlags& o) {
  CompressionJob job = job_of(o, Method::kAwq);
  job.recipe.awq.clip = !o.no_clip;
  job.recipe.awq.block_objective = o.objective == "block";
  if (o.procedure == "lmdeploy") {
    job.recipe.awq.lmdeploy_smoothing = true;
    job.recipe.awq.clip = false;
  }
  if (o.target_bits > 0) {
    if (o.target_bits < kMixedWidths.front())
      fail(ErrorCode::kInvalidArgument, "--target-bits {}: expected 2 to 4", o.target_bits);
    if (job.format.container == Container::kGguf)
      fail(ErrorCode::kInvalidArgument,
           "--target-bits: no GGUF type holds 2 or 3 bits as they are here; expected --export "
           "compressed-tensors");
    job.recipe.target_bits = o.target_bits;
    job.recipe.spec.bits = 3;
    job.format.folder = FolderFormat::kCompressedTensors;
  }
  return finish(o, std::move(job));
}

// GPTQ and SparseGPT fit the weights that stay to what they see: on tales they lose up to twice as much as on
// text of the model's own (docs/compression.md).
void fill_gptq(LiteFlags& o, OptionList& list) {
  add_common(o, list);
  list_options(o.calibration, list, kGeneratedDataset);
  add_grid(o, list, {"gptq", "awq", "compressed-tensors", "gguf"});
  list.add("no_act_order", &o.no_act_order, "columns in file order; grids follow the updated weights");
  list.add("damping", &o.damping, "share of the mean diagonal that is added to H").range(1e-6, 1).label("X");
}
int run_gptq(const LiteFlags& o) {
  CompressionJob job = job_of(o, Method::kGptq);
  if (job.calibration.dataset.empty()) job.calibration.dataset = kGeneratedDataset;
  job.recipe.gptq.act_order = job.format.act_order = !o.no_act_order;
  job.recipe.gptq.damping = o.damping;
  return finish(o, std::move(job));
}

// No calibration: the scale of a row is its largest weight's, and that of a token is found when it comes.
void fill_fp8(LiteFlags& o, OptionList& list) {
  add_common(o, list);
  o.export_format = "compressed-tensors";
  list.add("export", &o.export_format, "file format of the result")
      .choices({"compressed-tensors", "smooth_quant"})
      .label("FORMAT");
}
int run_fp8(const LiteFlags& o) {
  CompressionJob job = job_of(o, Method::kRtn);
  job.recipe.spec = {8, -1, true, true};
  job.format.dense = DType::kBF16;  // as the scales: peers hold them in the model's type
  return finish(o, std::move(job));
}

void fill_smooth(LiteFlags& o, OptionList& list) {
  add_common(o, list);
  list_options(o.calibration, list);
  o.export_format = "compressed-tensors";
  list.add("export", &o.export_format, "file format of the result")
      .choices({"compressed-tensors", "smooth_quant"})
      .label("FORMAT");
  list.add("quant_dtype", &o.quant_dtype, "fp8: 8-bit floats (E4M3), not smoothed")
      .choices({"int8", "fp8", "float8_e4m3fn"})
      .label("TYPE");
}
int run_smooth(const LiteFlags& o) {
  if (o.quant_dtype != "int8") {
    log_info("8-bit floats need no smoothing: this is turgo lite fp8");
    return run_fp8(o);
  }
  CompressionJob job = job_of(o, Method::kSmoothQuant);
  job.recipe.spec = {8, -1, true};
  return finish(o, std::move(job));
}

void fill_prune(LiteFlags& o, OptionList& list) {
  add_common(o, list);
  list_options(o.calibration, list, "tales; sparsegpt: generated");
  list.add("method", &o.method, "how weights are chosen")
      .choices({"wanda", "sparsegpt", "magnitude", "neurons"})
      .label("NAME");
  list.add("sparsity", &o.sparsity, "share of zeros, or n:m").label("X");
  list.add("dtype", &o.dtype, "of the result").choices({"bfloat16", "float16", "float32"}).label("TYPE");
}
int run_prune(const LiteFlags& o) {
  const Method method = o.method == "wanda"       ? Method::kWanda
                        : o.method == "sparsegpt" ? Method::kSparseGpt
                        : o.method == "neurons"   ? Method::kNeurons
                                                  : Method::kMagnitude;
  CompressionJob job = job_of(o, method);
  if (method == Method::kSparseGpt && job.calibration.dataset.empty())
    job.calibration.dataset = kGeneratedDataset;
  job.recipe.quantize = false;
  job.recipe.sparsity = Sparsity::parse(o.sparsity);
  if (method == Method::kNeurons && job.recipe.sparsity.m > 0)
    fail(ErrorCode::kInvalidArgument,
         "--sparsity {}: whole neurons have no n:m pattern; expected a share such as 0.25", o.sparsity);
  job.format.folder = FolderFormat::kDense;
  job.format.dense = o.dtype == "float32" ? DType::kF32 : o.dtype == "float16" ? DType::kF16 : DType::kBF16;
  if (method != Method::kNeurons)
    fmt::print(stderr,
               "the zeros are stored as they are: the result is no smaller and no faster until sparse "
               "kernels exist\n");
  return finish(o, std::move(job));
}

}  // namespace

Command lite_rtn_command() {
  return make_command("lite rtn", "Round weights to nearest: the baseline of every other method", fill_rtn,
                      run_rtn);
}
Command lite_auto_awq_command() {
  return make_command("lite auto_awq", "Quantise weights by AWQ (W4A16)", fill_awq, run_awq);
}
Command lite_auto_gptq_command() {
  return make_command("lite auto_gptq", "Quantise weights by GPTQ", fill_gptq, run_gptq);
}
Command lite_smooth_quant_command() {
  return make_command("lite smooth_quant", "Quantise weights and activations to 8 bits (W8A8)", fill_smooth,
                      run_smooth);
}
Command lite_fp8_command() {
  return make_command("lite fp8", "Round weights to 8-bit floats (E4M3)", fill_fp8, run_fp8);
}
Command lite_prune_command() {
  return make_command("lite prune", "Set weights to zero, or remove neurons", fill_prune, run_prune);
}

}  // namespace turgo
