#include "ops/profile.h"

#include <algorithm>
#include <chrono>

#include "ops/eager.h"

namespace turgo {
namespace {

using Clock = std::chrono::steady_clock;

struct Work {
  double ops = 0, bytes = 0;
  Precision precision = Precision::kInt8;
};

Work linear_work(const LinearWeight& weight, int64_t m, Precision asked) {
  Work work;
  work.ops = 2.0 * static_cast<double>(m) * static_cast<double>(weight.n) * static_cast<double>(weight.k);
  if (const auto* packed = std::get_if<PackedSegments>(&weight.data)) {
    for (const PackedWeight& s : packed->segments) {
      work.bytes += static_cast<double>(packed_bytes(s.dtype, s.n, s.k));
      work.precision = effective_precision(asked, s.dtype);
    }
  }
  return work;
}

// Keys that rows of a sequence see, and tokens whose pages they read.
Work attention_work(const AttendArgs& a) {
  Work work;
  work.precision = a.kv.geometry.type == KvType::kBF16 ? Precision::kBF16 : Precision::kF32;
  double bytes_per_token = static_cast<double>(a.kv.geometry.layer_bytes()) / kKvBlockTokens;
  for (const SequenceRows& s : a.sequences) {
    double keys = 0;
    for (int64_t i = 0; i < s.num_rows; ++i) {
      int64_t seen = s.first_index + i + 1;
      keys += static_cast<double>(a.window > 0 ? std::min<int64_t>(seen, a.window) : seen);
    }
    work.ops += 4.0 * keys * a.num_heads * a.head_dim;
    int64_t tokens = int64_t{s.first_index} + s.num_rows;
    if (a.window > 0) tokens = std::min<int64_t>(tokens, int64_t{a.window} + s.num_rows);
    work.bytes += static_cast<double>(tokens) * bytes_per_token;
  }
  return work;
}

class ProfilingExecutor final : public Executor {
 public:
  ProfilingExecutor(std::shared_ptr<Executor> executor, Precision precision,
                    std::shared_ptr<StepProfile> profile)
      : executor_(std::move(executor)), precision_(precision), profile_(std::move(profile)) {}

  std::shared_ptr<void> allocate(int64_t size_bytes) override { return executor_->allocate(size_bytes); }

  // Which kind of step this is, is seen at its first qkv().
  void embed(const EmbedArgs& a) override {
    auto start = Clock::now();
    executor_->embed(a);
    embed_seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
    first_ = true;
  }
  void qkv(const QkvArgs& a) override {
    bool decodes =
        std::all_of(a.sequences.begin(), a.sequences.end(), [](const auto& s) { return s.num_rows == 1; });
    step_ = decodes ? &profile_->decode : &profile_->prefill;
    if (first_) {
      ++step_->num_steps;
      add(Phase::kEmbed, embed_seconds_, {});
      first_ = false;
    }
    measure(Phase::kQkv, linear_work(*a.qkv, a.hidden.shape[0], precision_), [&] { executor_->qkv(a); });
  }
  void attend(const AttendArgs& a) override {
    measure(Phase::kAttention, attention_work(a), [&] { executor_->attend(a); });
    next_project_ = Phase::kOutput;
  }
  void project(const ProjectArgs& a) override {
    measure(next_project_, linear_work(*a.weight, a.x.shape[0], precision_), [&] { executor_->project(a); });
  }
  void gate_up(const GateUpArgs& a) override {
    measure(Phase::kGateUp, linear_work(*a.gate_up, a.hidden.shape[0], precision_),
            [&] { executor_->gate_up(a); });
    next_project_ = Phase::kDown;
  }
  void logits(const LogitsArgs& a) override {
    measure(Phase::kLogits, linear_work(*a.head, static_cast<int64_t>(a.rows.size()), precision_),
            [&] { executor_->logits(a); });
  }
  void host_phase(int64_t n, std::function<void(int64_t)> f) override {
    measure(Phase::kSampling, {}, [&] { executor_->host_phase(n, std::move(f)); });
  }

  void rms_norm(TensorView x, NormWeight norm, TensorView y) override { executor_->rms_norm(x, norm, y); }
  void linear(TensorView x, const LinearWeight& weight, TensorView y) override {
    executor_->linear(x, weight, y);
  }
  void all_reduce(TensorView x) override { executor_->all_reduce(x); }
  void all_gather(TensorView local, TensorView full) override { executor_->all_gather(local, full); }
  void synchronize() override { executor_->synchronize(); }

 private:
  // Waits for the verb: a device's executor would otherwise only show how fast it enqueues.
  template <class F>
  void measure(Phase phase, const Work& work, F&& f) {
    auto start = Clock::now();
    f();
    executor_->synchronize();
    add(phase, std::chrono::duration<double>(Clock::now() - start).count(), work);
  }
  void add(Phase phase, double seconds, const Work& work) {
    PhaseCost& cost = step_->phases[static_cast<size_t>(phase)];
    cost.seconds += seconds;
    cost.ops += work.ops;
    cost.bytes += work.bytes;
    cost.precision = work.precision;
    ++cost.calls;
  }

  std::shared_ptr<Executor> executor_;
  Precision precision_;
  std::shared_ptr<StepProfile> profile_;
  StepCosts* step_ = &profile_->prefill;
  Phase next_project_ = Phase::kOutput;
  double embed_seconds_ = 0;
  bool first_ = false;
};

}  // namespace

const char* phase_name(Phase phase) {
  constexpr const char* kNames[kNumPhases] = {"embed",   "qkv",       "attention", "o_proj",
                                              "gate_up", "down_proj", "lm_head",   "sampling"};
  return kNames[static_cast<size_t>(phase)];
}

std::shared_ptr<Executor> make_profiling_executor(std::shared_ptr<Executor> executor, Precision precision,
                                                  std::shared_ptr<StepProfile> profile) {
  return std::make_shared<ProfilingExecutor>(std::move(executor), precision, std::move(profile));
}

}  // namespace turgo
