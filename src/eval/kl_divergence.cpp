#include "eval/kl_divergence.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "io/npy.h"

namespace turgo {
namespace {

class NpyLogits : public LogitsSource {
 public:
  explicit NpyLogits(const std::string& path) : path_(path), reader_(path) {}
  int32_t vocab_size() const override { return static_cast<int32_t>(reader_.num_cols()); }
  void read(const TokenWindow& window,
            const std::function<void(int32_t, std::span<const float>)>& sink) override {
    for (int32_t i = 0; i < window.num_tokens(); ++i) {
      if (window.first_row + i >= reader_.num_rows())
        fail(ErrorCode::kInvalidArgument,
             "{}: expected logits of every token, got {} rows; --tokens {} compares these", quote(path_, 200),
             reader_.num_rows(), reader_.num_rows());
      sink(i, reader_.row(window.first_row + i));
    }
  }

 private:
  std::string path_;
  NpyReader reader_;
};

class ModelLogits : public LogitsSource {
 public:
  explicit ModelLogits(std::shared_ptr<Pipeline> pipeline) : pipeline_(std::move(pipeline)) {}
  int32_t vocab_size() const override { return pipeline_->vocab_size(); }
  void read(const TokenWindow& window,
            const std::function<void(int32_t, std::span<const float>)>& sink) override {
    window_logits(*pipeline_, window, sink);
  }

 private:
  std::shared_ptr<Pipeline> pipeline_;
};

size_t argmax(std::span<const float> row) {
  return static_cast<size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

double row_kl(std::span<const float> reference, double reference_lse, std::span<const float> model,
              double model_lse) {
  double kl = 0;
  for (size_t v = 0; v < reference.size(); ++v) {
    double log_p = static_cast<double>(reference[v]) - reference_lse;
    kl += std::exp(log_p) * (log_p - (static_cast<double>(model[v]) - model_lse));
  }
  return kl;
}

}  // namespace

std::unique_ptr<LogitsSource> open_npy_logits(const std::string& path) {
  return std::make_unique<NpyLogits>(path);
}

std::unique_ptr<LogitsSource> model_logits(std::shared_ptr<Pipeline> pipeline) {
  return std::make_unique<ModelLogits>(std::move(pipeline));
}

KlResult measure_kl(LogitsSource& model, LogitsSource& reference, const std::vector<TokenWindow>& windows) {
  if (model.vocab_size() != reference.vocab_size())
    fail(ErrorCode::kInvalidArgument, "expected the same vocabulary, got {} entries and the reference's {}",
         model.vocab_size(), reference.vocab_size());
  auto vocab = static_cast<size_t>(model.vocab_size());
  std::vector<double> kls;
  std::vector<float> rows;  // the reference's, of one window
  double model_nll = 0, reference_nll = 0;
  int64_t num_same = 0, num_scored = 0;
  for (const TokenWindow& window : windows) {
    rows.resize(static_cast<size_t>(window.num_tokens()) * vocab);
    reference.read(window, [&](int32_t i, std::span<const float> row) {
      std::copy(row.begin(), row.end(),
                rows.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(i) * vocab));
    });
    model.read(window, [&](int32_t i, std::span<const float> row) {
      std::span<const float> wanted(rows.data() + static_cast<size_t>(i) * vocab, vocab);
      double wanted_lse = log_sum_exp(wanted), lse = log_sum_exp(row);
      kls.push_back(row_kl(wanted, wanted_lse, row, lse));
      num_same += argmax(wanted) == argmax(row);
      if (i + 1 >= window.num_tokens()) return;
      auto target = static_cast<size_t>(window.token(i + 1));
      model_nll += lse - static_cast<double>(row[target]);
      reference_nll += wanted_lse - static_cast<double>(wanted[target]);
      ++num_scored;
    });
  }
  KlResult result;
  result.num_rows = static_cast<int64_t>(kls.size());
  auto count = static_cast<double>(std::max<size_t>(kls.size(), 1)),
       scored = static_cast<double>(std::max<int64_t>(num_scored, 1));
  for (double kl : kls) result.mean += kl / count;
  std::sort(kls.begin(), kls.end());
  if (!kls.empty()) {
    result.p99 = kls[static_cast<size_t>(std::ceil(0.99 * count)) - 1];
    result.max = kls.back();
  }
  result.top1_agreement = static_cast<double>(num_same) / count;
  result.model_nll = model_nll / scored;
  result.reference_nll = reference_nll / scored;
  return result;
}

}  // namespace turgo
