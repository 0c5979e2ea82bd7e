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
                                      int64_t max_tokens) {
  const Tokenizer& tokenizer = pipeline.tokenizer();
  int32_t bos = tokenizer.add_bos() ? tokenizer.bos_id() : -1;
  if (ctx + (bos >= 0) > pipeline.session_len())
    fail(ErrorCode::kTooLong, "--ctx {}: expected at most {} tokens, the model's context{}", ctx,
         pipeline.session_len() - (bos >= 0), bos >= 0 ? " less BOS" : "");
  auto file = MappedFile::open(path);
  std::string_view text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  std::vector<int32_t> ids = tokenizer.encode(text, false);
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

double log_sum_exp(std::span<const float> logits) {
  float max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float x : logits) sum += std::exp(static_cast<double>(x - max));
  return static_cast<double>(max) + std::log(sum);
}

}  // namespace turgo
