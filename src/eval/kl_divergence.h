// How far a model is from a reference: KL(reference || model) = sum p_ref (log p_ref - log p_model) per
// position, in nats, over all rows of a text (token_windows.h). The reference is a model or a .npy file of
// its logits [tokens, vocab_size].
#pragma once

#include <memory>

#include "eval/token_windows.h"

namespace turgo {

// KL(reference || model) of one row of logits [vocab_size] each, in nats; `lse`: their log_sum_exp.
double row_kl(std::span<const float> reference, double reference_lse, std::span<const float> model,
              double model_lse);

struct KlResult {
  int64_t num_rows = 0, num_scored = 0;
  double mean = 0, p99 = 0, max = 0;
  double top1_agreement = 0;                // share of rows with the same likeliest token
  double model_nll = 0, reference_nll = 0;  // mean over the scored tokens
};

class LogitsSource {
 public:
  virtual ~LogitsSource() = default;
  virtual int32_t vocab_size() const = 0;
  // Calls sink(i, logits) for each text token of the window in order. Throws Error{kInvalidArgument} for rows
  // that a file does not have.
  virtual void read(const TokenWindow& window,
                    const std::function<void(int32_t, std::span<const float>)>& sink) = 0;
};

std::unique_ptr<LogitsSource> open_npy_logits(const std::string& path);
std::unique_ptr<LogitsSource> model_logits(std::shared_ptr<Pipeline> pipeline);

// One result per model; the reference is read once for all of them. Throws Error{kInvalidArgument} where
// vocabularies differ.
std::vector<KlResult> measure_kl(std::span<LogitsSource* const> models, LogitsSource& reference,
                                 const std::vector<TokenWindow>& windows);
KlResult measure_kl(LogitsSource& model, LogitsSource& reference, const std::vector<TokenWindow>& windows);

}  // namespace turgo
