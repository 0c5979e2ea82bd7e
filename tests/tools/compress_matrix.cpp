// Runs one compression method on one matrix for the oracle tests:
//   compress_matrix METHOD W.npy X.npy OUT BITS GROUP sym|asym [SPARSITY]
// METHOD: rtn, clip, gptq, gptq_ordered, wanda, sparsegpt, magnitude, factor, error. W [n][k], X [tokens][k]
// f32. Writes OUT.weight.npy (the matrix as it decodes), and of quantising methods OUT.codes.npy,
// OUT.scales.npy, OUT.zeros.npy, all f32 [n][...]; `factor` writes U of the damped H to OUT.u.npy, `error`
// tr(W H W^T) to OUT.error.npy.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "compress/awq.h"
#include "compress/gptq.h"
#include "compress/input_stats.h"
#include "compress/prune.h"
#include "core/error.h"
#include "io/npy.h"

namespace {

using namespace turgo;

std::vector<float> read(const char* path, int64_t* rows, int64_t* cols) {
  NpyReader reader(path);
  *rows = reader.num_rows();
  *cols = reader.num_cols();
  std::vector<float> out;
  for (int64_t i = 0; i < *rows; ++i) out.insert(out.end(), reader.row(i).begin(), reader.row(i).end());
  return out;
}

void write(const std::string& path, const std::vector<float>& values, int64_t cols) {
  NpyWriter writer(path, cols);
  writer.write_rows(values);
  writer.finish();
}

void write_codes(const std::string& out, const QuantizedMatrix& q) {
  std::vector<float> codes(q.codes.begin(), q.codes.end()), scales, zeros, weight(q.codes.size());
  for (const GroupGrid& grid : q.grids) {
    scales.push_back(grid.scale);
    zeros.push_back(static_cast<float>(grid.zero));
  }
  for (int64_t r = 0; r < q.n; ++r) q.decode_row(r, weight.data() + r * q.k);
  write(out + ".codes.npy", codes, q.k);
  write(out + ".scales.npy", scales, q.spec.groups(q.k));
  write(out + ".zeros.npy", zeros, q.spec.groups(q.k));
  write(out + ".weight.npy", weight, q.k);
}

int run(int argc, char** argv) {
  if (argc < 8)
    fail(ErrorCode::kInvalidArgument, "usage: compress_matrix METHOD W X OUT BITS GROUP sym|asym [SPARSITY]");
  const std::string method = argv[1], out = argv[4];
  const QuantSpec spec{std::atoi(argv[5]), std::atoi(argv[6]), std::strcmp(argv[7], "sym") == 0};
  LinearMatrix m;
  m.name = "w";
  m.weight = read(argv[2], &m.n, &m.k);
  int64_t rows = 0, k = 0;
  std::vector<float> x = read(argv[3], &rows, &k);
  TeamMath math(std::make_shared<ThreadTeam>(2), *select_kernels(nullptr));
  StatsCollector collector(math, HessianNeed::kWhole, rows);
  collector.watcher()(LinearInput::kQkv, f32_matrix(x.data(), rows, k));
  const InputStats stats = std::move(collector.finish()[0]);
  QuantizedMatrix q(m.n, m.k, spec);
  if (method == "factor") {
    write(out + ".u.npy", factor_hessian(stats, false, 0.01, math).u, k);
  } else if (method == "error") {
    write(out + ".error.npy", {static_cast<float>(ErrorMeter(stats, math)(m.weight, m.n))}, 1);
  } else if (method == "rtn" || method == "clip") {
    if (method == "clip") clip_grids(m, stats, q, math);
    round_matrix(m, q, method == "clip", math);
    write_codes(out, q);
  } else if (method == "gptq" || method == "gptq_ordered") {
    GptqOptions options;
    options.act_order = method == "gptq";
    if (!gptq(m, factor_hessian(stats, options.act_order, options.damping, math), stats, options, q, math))
      fail(ErrorCode::kCorrupt, "H was not factored");
    write_codes(out, q);
  } else {
    const Sparsity sparsity = Sparsity::parse(argc > 8 ? argv[8] : "0.5");
    const SolveOrder solve = factor_hessian(stats, false, 0.01, math);
    const PruneMethod how = method == "wanda"       ? PruneMethod::kWanda
                            : method == "sparsegpt" ? PruneMethod::kSparseGpt
                                                    : PruneMethod::kMagnitude;
    const int64_t zeros = prune_matrix(how, sparsity, m, stats, &solve, nullptr, math);
    std::printf("%lld\n", static_cast<long long>(zeros));
    write(out + ".weight.npy", m.weight, m.k);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "compress_matrix: %s\n", error.what());
    return 2;
  }
}
