// What the executor seam costs: a forward pass of SmolLM2's 30 layers in which every verb does nothing.
// Compare with the time of a real decode step.
#include <benchmark/benchmark.h>

#include "models/tiny_model.h"

namespace turgo {
namespace {

class NullExecutor final : public Executor {
 public:
  std::shared_ptr<void> allocate(int64_t n) override { return {std::calloc(1, n + 1), std::free}; }
  void embed(const EmbedArgs& a) override { benchmark::DoNotOptimize(&a); }
  void qkv(const QkvArgs& a) override { benchmark::DoNotOptimize(&a); }
  void attend(const AttendArgs& a) override { benchmark::DoNotOptimize(&a); }
  void project(const ProjectArgs& a) override { benchmark::DoNotOptimize(&a); }
  void gate_up(const GateUpArgs& a) override { benchmark::DoNotOptimize(&a); }
  void logits(const LogitsArgs& a) override { benchmark::DoNotOptimize(&a); }
  void rms_norm(TensorView, NormWeight, TensorView) override {}
  void linear(TensorView, const LinearWeight&, TensorView) override {}
  void all_reduce(TensorView) override {}
  void all_gather(TensorView, TensorView) override {}
  void host_phase(int64_t, std::function<void(int64_t)>) override {}
  void synchronize() override {}
};

void BM_ForwardSeam(benchmark::State& state) {
  DecoderConfig config = TinyModel::llama_config(30);
  Decoder decoder(config, TinyModel(1).weights(config), std::make_shared<NullExecutor>(), KvType::kBF16, 64,
                  1);
  int32_t token = 1, position = 0, row = 0, block = 0;
  std::byte* pool = nullptr;
  SequenceRows seq;
  seq.num_rows = 1;
  seq.block_table = &block;
  std::vector<std::vector<SequenceRows>> sequences = {{seq}};
  StepInput in;
  in.num_rows = 1;
  in.token_ids = &token;
  in.positions = &position;
  in.sequences = sequences;
  in.pools = {&pool, 1};
  in.logits_rows = {&row, 1};
  std::vector<float> logits(config.vocab_size);
  for (auto _ : state) decoder.forward(in, f32_matrix(logits.data(), 1, config.vocab_size));
}
BENCHMARK(BM_ForwardSeam);

}  // namespace
}  // namespace turgo
