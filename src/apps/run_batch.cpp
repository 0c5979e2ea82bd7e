// `turgo run-batch`: a file of requests in, a file of answers out, with the names of `vllm run-batch`.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "apps/command.h"
#include "apps/output.h"
#include "core/error.h"
#include "serve/batch/batch_run.h"
#include "serve/models/model_router.h"

namespace turgo {
namespace {

struct RunBatch {
  std::string model, input_file = "-", output_file = "-", model_name;
  PipelineConfig pipeline;
};

void fill(RunBatch& o, OptionList& list) {
  list.add("model", &o.model, "model folder or GGUF file").positional();
  list.add("input_file", &o.input_file,
           "a request per line: {\"custom_id\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", "
           "\"body\"}; -: stdin")
      .label("FILE");
  list.add("output_file", &o.output_file, "an answer per line, in the same order; -: stdout").label("FILE");
  list.add("model_name", &o.model_name, "what requests call the model; without it they may call it anything")
      .label("NAME");
  list_options(o.pipeline, list);
}

std::ifstream open_input(const std::string& path) {
  std::ifstream in(path);
  if (!in || std::filesystem::is_directory(path))
    fail(ErrorCode::kNotFound, "--input-file {}: can not be read", quote(path, 200));
  return in;
}

std::ofstream open_output(const RunBatch& o) {
  std::error_code wrong;
  if (std::filesystem::equivalent(o.input_file, o.output_file, wrong))
    fail(ErrorCode::kInvalidArgument, "--output-file {}: is the input file", quote(o.output_file, 200));
  std::ofstream out(o.output_file, std::ios::trunc);
  if (!out) fail(ErrorCode::kIo, "--output-file {}: can not be written", quote(o.output_file, 200));
  return out;
}

int run(const RunBatch& o) {
  std::ifstream file;
  if (o.input_file != "-") file = open_input(o.input_file);
  std::istream& in = o.input_file == "-" ? std::cin : file;
  std::ofstream out;
  if (o.output_file != "-") out = open_output(o);
  RouterConfig config;
  config.pipeline = o.pipeline;
  config.api.takes_any_model = o.model_name.empty();
  std::string name = o.model_name.empty() ? model_name_of(o.model) : o.model_name;
  ModelRouter router({{name, o.model}}, config);
  router.load_and_wait(*router.hosts()[0]);
  auto next = [&]() -> std::optional<std::string> {
    std::string line;
    if (!std::getline(in, line)) return std::nullopt;
    return line;
  };
  auto done = [&](const std::string& line) {
    if (o.output_file == "-") return write_stdout(line + "\n");
    out << line << '\n' << std::flush;
    if (!out) fail(ErrorCode::kIo, "--output-file {}: can not be written", quote(o.output_file, 200));
  };
  BatchCounts counts = run_batch(router, static_cast<size_t>(o.pipeline.max_batch_size), next, done);
  if (counts.num_failed == 0) return 0;
  std::fprintf(stderr, "turgo: %zu of %zu requests failed; their lines say why\n", counts.num_failed,
               counts.num_requests);
  return 1;
}

}  // namespace

Command run_batch_command() {
  return make_command("run-batch", "Answer a file of requests (JSONL, as OpenAI's batches)", fill, run);
}

}  // namespace turgo
