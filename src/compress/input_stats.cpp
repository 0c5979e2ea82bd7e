#include "compress/input_stats.h"

#include <algorithm>
#include <cmath>

namespace turgo {
namespace {

constexpr int64_t kChunkTokens = 1024;
constexpr int64_t kErrorBlock = 192;  // columns of H

}  // namespace

void InputStats::divide_by(const std::vector<float>& s) {
  for (int64_t i = 0; i < k; ++i) {
    const auto u = static_cast<size_t>(i);
    absmax[u] /= s[u];
    absmean[u] /= s[u];
    for (int64_t j = 0; j < k; ++j) h[static_cast<size_t>(i * k + j)] /= s[u] * s[static_cast<size_t>(j)];
  }
  for (int64_t r = 0; r < sample_rows; ++r)
    for (int64_t j = 0; j < k; ++j) sample[static_cast<size_t>(r * k + j)] /= s[static_cast<size_t>(j)];
}

InputWatcher StatsCollector::watcher() {
  return [this](LinearInput input, TensorView x) {
    add(inputs_[static_cast<size_t>(input)], x.as<float>(), x.shape[0], x.shape[1]);
  };
}

void StatsCollector::add(Input& input, const float* x, int64_t rows, int64_t k) {
  InputStats& s = input.stats;
  if (s.k == 0) {
    s.k = k;
    s.h.assign(static_cast<size_t>(k * k), 0);
    s.absmax.assign(static_cast<size_t>(k), 0);
    input.abs_sum.assign(static_cast<size_t>(k), 0);
    input.blocks = need_ == HessianNeed::kBlocksWhereWide && k > kWideInput;
  }
  CHECK_EQ(s.k, k);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x + r * k;
    for (int64_t j = 0; j < k; ++j) {
      const float a = std::fabs(row[j]);
      s.absmax[static_cast<size_t>(j)] = std::max(s.absmax[static_cast<size_t>(j)], a);
      input.abs_sum[static_cast<size_t>(j)] += static_cast<double>(a);
    }
  }
  for (int64_t r = 0; input.blocks && r < rows; ++r) {
    if ((s.num_tokens + r) % stride_ != 0) continue;
    s.sample.insert(s.sample.end(), x + r * k, x + (r + 1) * k);
    ++s.sample_rows;
  }
  s.num_tokens += rows;
  input.pending.insert(input.pending.end(), x, x + rows * k);
  if (static_cast<int64_t>(input.pending.size()) >= kChunkTokens * k) flush(input);
}

void StatsCollector::flush(Input& input) {
  const int64_t k = input.stats.k;
  if (k == 0) return;
  math_.add_gram(input.pending.data(), static_cast<int64_t>(input.pending.size()) / k, k,
                 input.stats.h.data(), input.blocks);
  input.pending.clear();
}

std::array<InputStats, kNumLinearInputs> StatsCollector::finish() {
  std::array<InputStats, kNumLinearInputs> out;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Input& input = inputs_[i];
    flush(input);
    InputStats& s = input.stats;
    if (s.k > 0) math_.mirror(s.h.data(), s.k);
    s.absmean.resize(static_cast<size_t>(s.k));
    for (size_t j = 0; j < s.absmean.size(); ++j)
      s.absmean[j] =
          static_cast<float>(input.abs_sum[j] / static_cast<double>(std::max<int64_t>(s.num_tokens, 1)));
    out[i] = std::move(s);
    input = {};
  }
  return out;
}

ErrorMeter::ErrorMeter(const InputStats& stats, const TeamMath& math)
    : math_(math),
      sampled_(stats.sample_rows > 0),
      weight_(sampled_ ? static_cast<double>(stats.num_tokens) / static_cast<double>(stats.sample_rows) : 1),
      k_(stats.k) {
  if (sampled_) {
    parts_.emplace_back(stats.sample.data(), stats.sample_rows, k_, math.team());
    return;
  }
  for (int64_t begin = 0; begin < k_; begin += kErrorBlock) {
    const int64_t end = std::min(begin + kErrorBlock, k_);
    std::vector<float> rows(static_cast<size_t>((end - begin) * end));
    for (int64_t j = begin; j < end; ++j) {
      const float* from = stats.h.data() + j * k_;
      float* to = rows.data() + (j - begin) * end;
      for (int64_t i = 0; i < end; ++i) to[i] = i < begin ? 2 * from[i] : from[i];
    }
    parts_.emplace_back(rows.data(), end - begin, end, math.team());
  }
}

double ErrorMeter::operator()(const std::vector<float>& delta, int64_t n) const {
  std::vector<double> sums(static_cast<size_t>(n));
  std::vector<float> product;
  for (const PackedMatrix& part : parts_) {
    const int64_t width = part.weight().n, begin = part.weight().k - width;
    product.resize(static_cast<size_t>(n * width));
    math_.multiply(delta.data(), k_, n, part, product.data());
    math_.for_each(n, [&](int64_t r) {
      const float* y = product.data() + r * width;
      sums[static_cast<size_t>(r)] += dot(sampled_ ? y : delta.data() + r * k_ + begin, y, width);
    });
  }
  double total = 0;
  for (double sum : sums) total += sum;
  return total * weight_;
}

}  // namespace turgo
