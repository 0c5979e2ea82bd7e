#include "compress/observing_executor.h"

#include <algorithm>
#include <vector>

namespace turgo {
namespace {

class ObservingExecutor final : public Executor {
 public:
  ObservingExecutor(std::shared_ptr<Executor> inner, InputWatcher watcher)
      : inner_(std::move(inner)), watcher_(std::move(watcher)) {}

  void qkv(const QkvArgs& a) override {
    show(LinearInput::kQkv, a.hidden, a.norm);
    inner_->qkv(a);
  }
  void gate_up(const GateUpArgs& a) override {
    show(LinearInput::kGateUp, a.hidden, a.norm);
    inner_->gate_up(a);
  }
  void project(const ProjectArgs& a) override {
    show(a.weight->name.ends_with("o_proj") ? LinearInput::kO : LinearInput::kDown, a.x, {});
    inner_->project(a);
  }

  std::shared_ptr<void> allocate(int64_t size_bytes) override { return inner_->allocate(size_bytes); }
  void embed(const EmbedArgs& a) override { inner_->embed(a); }
  void attend(const AttendArgs& a) override { inner_->attend(a); }
  void logits(const LogitsArgs& a) override { inner_->logits(a); }
  void rms_norm(TensorView x, NormWeight norm, TensorView y) override { inner_->rms_norm(x, norm, y); }
  void linear(TensorView x, const LinearWeight& w, TensorView y) override { inner_->linear(x, w, y); }
  void all_reduce(TensorView x) override { inner_->all_reduce(x); }
  void all_gather(TensorView local, TensorView full) override { inner_->all_gather(local, full); }
  void host_phase(int64_t n, std::function<void(int64_t)> f) override { inner_->host_phase(n, std::move(f)); }
  void synchronize() override { inner_->synchronize(); }

 private:
  void show(LinearInput input, TensorView x, NormWeight norm) {
    if (!norm && x.stride() == x.shape[1]) {
      watcher_(input, x);
      return;
    }
    rows_.resize(static_cast<size_t>(x.shape.numel()));
    TensorView copy = f32_matrix(rows_.data(), x.shape[0], x.shape[1]);
    if (norm) {
      inner_->rms_norm(x, norm, copy);
    } else {
      for (int64_t t = 0; t < x.shape[0]; ++t)
        std::copy_n(x.as<float>() + t * x.stride(), x.shape[1], rows_.data() + t * x.shape[1]);
    }
    inner_->synchronize();
    watcher_(input, copy);
  }

  std::shared_ptr<Executor> inner_;
  InputWatcher watcher_;
  std::vector<float> rows_;
};

}  // namespace

std::shared_ptr<Executor> make_observing_executor(std::shared_ptr<Executor> inner, InputWatcher watcher) {
  return std::make_shared<ObservingExecutor>(std::move(inner), std::move(watcher));
}

}  // namespace turgo
