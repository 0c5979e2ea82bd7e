#include "eval/token_windows.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/mapped_file.h"

namespace turgo {

std::vector<TokenWindow> cut_windows(std::span<const int32_t> ids, int32_t ctx, int32_t bos_id) {
  CHECK(ctx > 0);
  std::vector<TokenWindow> windows;
  for (size_t begin = 0; begin < ids.size(); begin += static_cast<size_t>(ctx)) {
    auto part = ids.subspan(begin, std::min<size_t>(static_cast<size_t>(ctx), ids.size() - begin));
    TokenWindow window;
    window.first_row = static_cast<int64_t>(begin);
    if (bos_id >= 0) window.ids.push_back(bos_id);
    window.num_prefix = bos_id >= 0;
    window.ids.insert(window.ids.end(), part.begin(), part.end());
    windows.push_back(std::move(window));
  }
  return windows;
}

std::vector<TokenWindow> read_windows(const Pipeline& pipeline, const std::string& path, int32_t ctx,
                                      int64_t max_tokens, int64_t skip_tokens) {
  const Tokenizer& tokenizer = pipeline.tokenizer();
  int32_t bos = tokenizer.add_bos() ? tokenizer.bos_id() : -1;
  if (ctx + (bos >= 0) > pipeline.session_len())
    fail(ErrorCode::kTooLong, "--ctx {}: expected at most {} tokens, the model's context{}", ctx,
         pipeline.session_len() - (bos >= 0), bos >= 0 ? " less BOS" : "");
  auto file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  std::vector<int32_t> ids = tokenizer.encode(text, false);
  ids.erase(ids.begin(), ids.begin() + std::min(skip_tokens, static_cast<int64_t>(ids.size())));
  if (max_tokens > 0 && static_cast<int64_t>(ids.size()) > max_tokens)
    ids.resize(static_cast<size_t>(max_tokens));
  if (ids.size() < 2)
    fail(ErrorCode::kInvalidArgument, "{}: expected a text of at least 2 tokens, got {}", quote(path, 200),
         ids.size());
  return cut_windows(ids, ctx, bos);
}

void window_logits(Pipeline& pipeline, const TokenWindow& window,
                   const std::function<void(int32_t, std::span<const float>)>& sink) {
  pipeline.engine().compute_logits(window.ids, [&](int32_t index, std::span<const float> logits) {
    if (index >= window.num_prefix) sink(index - window.num_prefix, logits);
  });
}

float max_of(std::span<const float> logits) {
  constexpr size_t kLanes = 16;
  float top[kLanes];
  std::fill_n(top, kLanes, logits[0]);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes)
    for (size_t l = 0; l < kLanes; ++l) top[l] = logits[i + l] > top[l] ? logits[i + l] : top[l];
  for (; i < logits.size(); ++i) top[0] = std::max(top[0], logits[i]);
  return *std::max_element(top, top + kLanes);
}

double log_sum_exp(std::span<const float> logits) {
  constexpr size_t kBlock = 256, kLanes = 4;
  const float max = max_of(logits);
  double sum[kLanes] = {};
  float e[kBlock];
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t size = std::min(kBlock, logits.size() - begin);
    const float* x = logits.data() + begin;
    for (size_t i = 0; i < size; ++i) e[i] = exp_of_negative(x[i] - max);
    std::fill(e + size, e + kBlock, 0.0f);
    for (size_t i = 0; i < kBlock; i += kLanes)
      for (size_t l = 0; l < kLanes; ++l) sum[l] += static_cast<double>(e[i + l]);
  }
  return static_cast<double>(max) + std::log((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

}  // namespace turgo
