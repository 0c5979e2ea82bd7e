// The seam that everything later stands on: one forward pass under three executors. A fake asynchronous
// executor captures a step and replays it with changed inputs, an observing one sees the input of every
// linear, and a tape runs one verb's backward against a numeric gradient. And what the eager executor's
// threads share.
#include <gtest/gtest.h>

#include <map>

#include "core/thread_team.h"
#include "models/tiny_model.h"
#include "ops/eager.h"

namespace turgo {
namespace {

std::shared_ptr<Executor> eager(int num_threads = 2) {
  return make_eager_executor(std::make_shared<ThreadTeam>(num_threads), *select_kernels(nullptr),
                             Precision::kF32);
}

Decoder tiny_decoder(std::shared_ptr<Executor> executor, uint32_t seed = 1) {
  DecoderConfig config = TinyModel::llama_config();
  return Decoder(config, TinyModel(seed).weights(config), std::move(executor), KvType::kF32, 256, 256);
}

std::vector<int32_t> some_ids(int n) {
  std::vector<int32_t> ids(n);
  for (int i = 0; i < n; ++i) ids[i] = (i * 37 + 11) % 96;
  return ids;
}

// Forwards every verb through one hook, so that the test executors below are a few lines each.
class ForwardingExecutor : public Executor {
 public:
  explicit ForwardingExecutor(std::shared_ptr<Executor> inner) : inner_(std::move(inner)) {}
  std::shared_ptr<void> allocate(int64_t n) override { return inner_->allocate(n); }
  void embed(const EmbedArgs& a) override {
    submit([this, a] { inner_->embed(a); });
  }
  void qkv(const QkvArgs& a) override {
    submit([this, a] { inner_->qkv(a); });
  }
  void attend(const AttendArgs& a) override {
    submit([this, a] { inner_->attend(a); });
  }
  void project(const ProjectArgs& a) override {
    submit([this, a] { inner_->project(a); });
  }
  void gate_up(const GateUpArgs& a) override {
    submit([this, a] { inner_->gate_up(a); });
  }
  void logits(const LogitsArgs& a) override {
    submit([this, a] { inner_->logits(a); });
  }
  void rms_norm(TensorView x, NormWeight w, TensorView y) override {
    submit([=, this] { inner_->rms_norm(x, w, y); });
  }
  void linear(TensorView x, const LinearWeight& w, TensorView y) override {
    submit([=, this, &w] { inner_->linear(x, w, y); });
  }
  void all_reduce(TensorView x) override {
    submit([=, this] { inner_->all_reduce(x); });
  }
  void all_gather(TensorView x, TensorView y) override {
    submit([=, this] { inner_->all_gather(x, y); });
  }
  void host_phase(int64_t n, std::function<void(int64_t)> f) override {
    submit([=, this] { inner_->host_phase(n, f); });
  }
  void synchronize() override { inner_->synchronize(); }

 protected:
  virtual void submit(const std::function<void()>& verb) { verb(); }
  std::shared_ptr<Executor> inner_;
};

// Nothing runs before synchronize(); a captured step runs again, reading its inputs from the same memory.
class FakeAsyncExecutor : public ForwardingExecutor {
 public:
  using ForwardingExecutor::ForwardingExecutor;
  void synchronize() override {
    for (auto& verb : queue_) verb();
    captured_ = std::move(queue_);
    queue_.clear();
  }
  void replay() {
    for (auto& verb : captured_) verb();
  }
  size_t num_captured() const { return captured_.size(); }

 protected:
  void submit(const std::function<void()>& verb) override { queue_.push_back(verb); }

 private:
  std::vector<std::function<void()>> queue_, captured_;
};

TEST(Executor, AsynchronousStepEqualsEagerAndReplays) {
  Decoder plain = tiny_decoder(eager());
  TestSequence reference(plain, 128);
  auto ids = some_ids(9);
  auto want_prefill = reference.feed(ids);
  auto want_5 = reference.feed({5}), want_7 = reference.feed({7});

  auto async = std::make_shared<FakeAsyncExecutor>(eager());
  Decoder deferred = tiny_decoder(async);
  TestSequence sequence(deferred, 128);
  EXPECT_EQ(sequence.feed(ids), want_prefill);

  // One captured decode step, replayed with another token one place further: only executor memory changes.
  const CacheSpec& spec = deferred.cache_specs()[0];
  auto pool_memory = async->allocate(spec.block_bytes);
  std::byte* pool = static_cast<std::byte*>(pool_memory.get());
  int32_t block = 0, token = 5, position = 9, row = 0;
  std::vector<int32_t> first_positions(9), none;
  for (int i = 0; i < 9; ++i) first_positions[i] = i;
  auto make_input = [&](std::vector<std::vector<SequenceRows>>& sequences, int32_t n, int32_t first) {
    SequenceRows seq;
    seq.num_rows = n;
    seq.first_index = first;
    seq.block_table = &block;
    sequences = {{seq}};
    StepInput in;
    in.num_rows = n;
    in.sequences = sequences;
    in.pools = {&pool, 1};
    return in;
  };
  std::vector<std::vector<SequenceRows>> prefill_rows, decode_rows;
  StepInput prefill = make_input(prefill_rows, 9, 0);
  prefill.token_ids = ids.data();
  prefill.positions = first_positions.data();
  deferred.forward(prefill, {});
  async->synchronize();

  std::vector<float> logits(96);
  StepInput decode = make_input(decode_rows, 1, 9);
  decode.token_ids = &token;
  decode.positions = &position;
  decode.logits_rows = {&row, 1};
  deferred.forward(decode, f32_matrix(logits.data(), 1, 96));
  EXPECT_EQ(logits, std::vector<float>(96)) << "a verb ran before synchronize()";
  async->synchronize();
  EXPECT_EQ(logits, want_5);
  EXPECT_EQ(async->num_captured(), 2u + 5 * 2);

  token = 7;
  position = 10;
  decode_rows[0][0].first_index = 10;
  async->replay();
  EXPECT_EQ(logits, want_7);
}

// Threads take panels from each other: one that nobody multiplies, or two do, shows in the sums.
TEST(Executor, LinearsGiveTheSameBitsHoweverThreadsShareThem) {
  constexpr int kN = 300, kK = 64, kMost = 40;
  TinyModel model(5);
  const LinearWeight w = model.linear(kN, kK, "w"), rows = model.linear(kMost, kK, "rows");
  std::vector<float> x(kMost * kK);
  for (int i = 0; i < kMost; ++i)
    dequantize_packed_row(std::get<PackedSegments>(rows.data).segments[0], i, x.data() + i * kK);
  for (int m : {1, 5, 7, kMost}) {
    const TensorView xv = f32_matrix(x.data(), m, kK);
    std::vector<float> want(m * kN);
    eager(1)->linear(xv, w, f32_matrix(want.data(), m, kN));
    for (int num_threads : {2, 3, 7, 13}) {
      auto executor = eager(num_threads);
      for (int repeat = 0; repeat < 20; ++repeat) {
        std::vector<float> y(m * kN), sums(m * kN);
        executor->linear(xv, w, f32_matrix(y.data(), m, kN));
        ASSERT_EQ(y, want) << m << " rows, " << num_threads << " threads";
        executor->project({xv, &w, {}, 1, f32_matrix(sums.data(), m, kN)});  // adds: twice would show
        ASSERT_EQ(sums, want) << m << " rows, " << num_threads << " threads";
      }
    }
  }
}

// What calibration needs: the input rows of every linear, by name, without a second model source.
class ObservingExecutor : public ForwardingExecutor {
 public:
  using ForwardingExecutor::ForwardingExecutor;
  std::map<std::string, std::vector<float>> inputs;

  void qkv(const QkvArgs& a) override {
    observe(a.hidden, a.norm, *a.qkv);
    inner_->qkv(a);
  }
  void gate_up(const GateUpArgs& a) override {
    observe(a.hidden, a.norm, *a.gate_up);
    inner_->gate_up(a);
  }
  void project(const ProjectArgs& a) override {
    observe(a.x, {}, *a.weight);
    inner_->project(a);
  }

 private:
  void observe(TensorView x, NormWeight norm, const LinearWeight& w) {
    std::vector<float> rows(x.shape.numel());
    TensorView copy = f32_matrix(rows.data(), x.shape[0], x.shape[1]);
    if (norm) {
      inner_->rms_norm(x, norm, copy);
    } else {
      for (int64_t t = 0; t < x.shape[0]; ++t)
        std::copy_n(x.as<float>() + t * x.stride(), x.shape[1], rows.data() + t * x.shape[1]);
    }
    inputs[w.name] = rows;
  }
};

TEST(Executor, ObserverSeesTheInputOfEveryLinear) {
  auto observer = std::make_shared<ObservingExecutor>(eager());
  Decoder decoder = tiny_decoder(observer);
  TestSequence sequence(decoder, 64);
  Decoder plain = tiny_decoder(eager());
  TestSequence reference(plain, 64);
  auto ids = some_ids(5);
  EXPECT_EQ(sequence.feed(ids), reference.feed(ids)) << "watching must not change a bit";

  ASSERT_EQ(observer->inputs.size(), 8u);
  for (const auto& [name, rows] : observer->inputs)
    EXPECT_EQ(rows.size(), 5u * (name.find("down_proj") != std::string::npos ? 96 : 64)) << name;
  // The projection of what was seen is what the verb computed: W x of layer 0's qkv, row 0.
  const LinearWeight& qkv = decoder.weights().layers[0].qkv;
  std::vector<float> y(5 * qkv.n), row(qkv.k);
  eager()->linear(f32_matrix(observer->inputs["layers.0.qkv"].data(), 5, 64), qkv,
                  f32_matrix(y.data(), 5, qkv.n));
  dequantize_packed_row(std::get<PackedSegments>(qkv.data).segments[0], 0, row.data());
  double dot = 0;
  for (int j = 0; j < 64; ++j) dot += static_cast<double>(row[j]) * observer->inputs["layers.0.qkv"][j];
  EXPECT_NEAR(y[0], dot, 1e-4);
}

// Records `linear` and runs its backward: dx = dy W, dW = dy^T x.
class TapeExecutor : public ForwardingExecutor {
 public:
  using ForwardingExecutor::ForwardingExecutor;

  void linear(TensorView x, const LinearWeight& w, TensorView y) override {
    inner_->linear(x, w, y);
    tape_.push_back([x, &w](const std::vector<float>& dy, std::vector<float>& dx, std::vector<float>& dw) {
      int64_t m = x.shape[0];
      dx.assign(m * w.k, 0);
      dw.assign(w.n * w.k, 0);
      std::vector<float> row(w.k);
      for (int64_t j = 0; j < w.n; ++j) {
        dequantize_packed_row(std::get<PackedSegments>(w.data).segments[0], j, row.data());
        for (int64_t t = 0; t < m; ++t)
          for (int64_t i = 0; i < w.k; ++i) {
            dx[t * w.k + i] += dy[t * w.n + j] * row[i];
            dw[j * w.k + i] += dy[t * w.n + j] * x.as<float>()[t * x.stride() + i];
          }
      }
    });
  }
  void backward(const std::vector<float>& dy, std::vector<float>& dx, std::vector<float>& dw) {
    tape_.back()(dy, dx, dw);
  }

 private:
  using Backward = std::function<void(const std::vector<float>&, std::vector<float>&, std::vector<float>&)>;
  std::vector<Backward> tape_;
};

TEST(Executor, TapeBackwardOfLinearEqualsNumericGradient) {
  constexpr int kM = 3, kN = 5, kK = 32;
  TapeExecutor tape(eager(1));
  LinearWeight w = TinyModel(3).linear(kN, kK, "w");
  std::mt19937 rng(4);
  std::normal_distribution<float> normal;
  std::vector<float> x(kM * kK), dy(kM * kN), y(kM * kN), dx, dw;
  for (float& v : x) v = normal(rng);
  for (float& v : dy) v = normal(rng);
  TensorView xv = f32_matrix(x.data(), kM, kK), yv = f32_matrix(y.data(), kM, kN);
  auto loss = [&](const LinearWeight& weight) {
    eager(1)->linear(xv, weight, yv);
    double sum = 0;
    for (int i = 0; i < kM * kN; ++i) sum += static_cast<double>(y[i]) * dy[i];
    return sum;
  };
  tape.linear(xv, w, yv);
  tape.backward(dy, dx, dw);
  constexpr float kStep = 1e-2f;  // exact for a linear map but for rounding
  for (int i = 0; i < kM * kK; i += 7) {
    float keep = x[i];
    x[i] = keep + kStep;
    double up = loss(w);
    x[i] = keep - kStep;
    double down = loss(w);
    x[i] = keep;
    EXPECT_NEAR(dx[i], (up - down) / (2 * kStep), 2e-3) << "dx " << i;
  }
  std::vector<float> rows(kN * kK);
  for (int j = 0; j < kN; ++j)
    dequantize_packed_row(std::get<PackedSegments>(w.data).segments[0], j, rows.data() + j * kK);
  auto packed_loss = [&] {
    std::vector<std::byte> storage(packed_bytes(DType::kF32, kN, kK) + kPackedAlign);
    auto* aligned =
        reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(storage.data()) + 63) / 64 * 64);
    pack_weight(DType::kF32, rows.data(), kK * 4, kN, kK, 0, 1, aligned);
    LinearWeight changed = w;
    changed.data = PackedSegments{{{DType::kF32, kN, kK, aligned}}, nullptr};
    return loss(changed);
  };
  for (int i = 0; i < kN * kK; i += 13) {
    float keep = rows[i];
    rows[i] = keep + kStep;
    double up = packed_loss();
    rows[i] = keep - kStep;
    double down = packed_loss();
    rows[i] = keep;
    EXPECT_NEAR(dw[i], (up - down) / (2 * kStep), 2e-3) << "dw " << i;
  }
}

}  // namespace
}  // namespace turgo
