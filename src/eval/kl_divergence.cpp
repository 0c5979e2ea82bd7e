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

// A row of the reference's logits, and what every comparison needs of it.
struct ReferenceRow {
  std::span<const float> logits;
  double lse = 0;
  size_t top = 0;  // the likeliest token
};

size_t argmax(std::span<const float> row) {
  return static_cast<size_t>(std::find(row.begin(), row.end(), max_of(row)) - row.begin());
}

// What one model's rows add up to.
struct KlSums {
  std::vector<double> kls;
  double nll = 0, reference_nll = 0;
  int64_t num_same = 0, num_scored = 0;

  // `next`: the token behind the row, or -1 for the last of a window.
  void add(const ReferenceRow& reference, std::span<const float> row, int32_t next) {
    const double lse = log_sum_exp(row);
    kls.push_back(row_kl(reference.logits, reference.lse, row, lse));
    num_same += reference.top == argmax(row);
    if (next < 0) return;
    const auto target = static_cast<size_t>(next);
    nll += lse - static_cast<double>(row[target]);
    reference_nll += reference.lse - static_cast<double>(reference.logits[target]);
    ++num_scored;
  }

  KlResult result() && {
    KlResult result;
    result.num_rows = static_cast<int64_t>(kls.size());
    result.num_scored = num_scored;
    const auto count = static_cast<double>(std::max<size_t>(kls.size(), 1)),
               scored = static_cast<double>(std::max<int64_t>(num_scored, 1));
    for (double kl : kls) result.mean += kl / count;
    std::sort(kls.begin(), kls.end());
    if (!kls.empty()) {
      result.p99 = kls[static_cast<size_t>(std::ceil(0.99 * count)) - 1];
      result.max = kls.back();
    }
    result.top1_agreement = static_cast<double>(num_same) / count;
    result.model_nll = nll / scored;
    result.reference_nll = reference_nll / scored;
    return result;
  }
};

}  // namespace

double row_kl(std::span<const float> reference, double reference_lse, std::span<const float> model,
              double model_lse) {
  constexpr size_t kBlock = 256;
  double difference[kBlock], kl = 0;
  float p[kBlock];
  for (size_t begin = 0; begin < model.size(); begin += kBlock) {
    const size_t size = std::min(kBlock, model.size() - begin);
    const float *x = reference.data() + begin, *y = model.data() + begin;
    for (size_t i = 0; i < size; ++i) {
      const double log_p = static_cast<double>(x[i]) - reference_lse;
      difference[i] = log_p - (static_cast<double>(y[i]) - model_lse);
      p[i] = exp_of_negative(static_cast<float>(log_p));
    }
    for (size_t i = 0; i < size; ++i) kl += static_cast<double>(p[i]) * difference[i];
  }
  return kl;
}

std::unique_ptr<LogitsSource> open_npy_logits(const std::string& path) {
  return std::make_unique<NpyLogits>(path);
}

std::unique_ptr<LogitsSource> model_logits(std::shared_ptr<Pipeline> pipeline) {
  return std::make_unique<ModelLogits>(std::move(pipeline));
}

std::vector<KlResult> measure_kl(std::span<LogitsSource* const> models, LogitsSource& reference,
                                 const std::vector<TokenWindow>& windows) {
  for (const LogitsSource* model : models)
    if (model->vocab_size() != reference.vocab_size())
      fail(ErrorCode::kInvalidArgument, "expected the same vocabulary, got {} entries and the reference's {}",
           model->vocab_size(), reference.vocab_size());
  const auto vocab = static_cast<size_t>(reference.vocab_size());
  std::vector<KlSums> sums(models.size());
  std::vector<float> logits;  // the reference's, of one window
  std::vector<ReferenceRow> rows;
  for (const TokenWindow& window : windows) {
    const auto num_tokens = static_cast<size_t>(window.num_tokens());
    logits.resize(num_tokens * vocab);
    rows.resize(num_tokens);
    reference.read(window, [&](int32_t i, std::span<const float> row) {
      float* to = logits.data() + static_cast<size_t>(i) * vocab;
      std::copy(row.begin(), row.end(), to);
      rows[static_cast<size_t>(i)] = {{to, vocab}, log_sum_exp(row), argmax(row)};
    });
    for (size_t m = 0; m < models.size(); ++m)
      models[m]->read(window, [&](int32_t i, std::span<const float> row) {
        sums[m].add(rows[static_cast<size_t>(i)], row,
                    i + 1 < window.num_tokens() ? window.token(i + 1) : -1);
      });
  }
  std::vector<KlResult> results;
  for (KlSums& s : sums) results.push_back(std::move(s).result());
  return results;
}

KlResult measure_kl(LogitsSource& model, LogitsSource& reference, const std::vector<TokenWindow>& windows) {
  LogitsSource* const models[] = {&model};
  return measure_kl(models, reference, windows).front();
}

}  // namespace turgo
