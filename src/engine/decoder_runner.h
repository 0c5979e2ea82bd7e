// Executes StepPlans with a Decoder: block work, rows, forward, and sampling as a host phase in stream order.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "engine/kv_pool.h"
#include "engine/model_runner.h"
#include "models/decoder.h"

namespace turgo {

class DecoderRunner : public ModelRunner {
 public:
  // samples = false: a rank that computes its share and looks at no logits.
  DecoderRunner(std::shared_ptr<Decoder> decoder, const CachePlan& cache, bool samples = true);
  const ModelLimits& limits() const override { return limits_; }
  void execute(const StepPlan& plan, StepResult& result) override;

 private:
  template <class T>
  T* room(std::shared_ptr<void>& buffer, int64_t& capacity, int64_t count);
  void run_block_ops(const StepPlan& plan);
  void fill_rows(const StepPlan& plan);
  void take_hidden(const StepPlan& plan, StepResult& result);
  void take_logits(const StepPlan& plan, StepResult& result, float* logits);
  std::unique_ptr<SampleScratch> borrow_scratch();
  void return_scratch(std::unique_ptr<SampleScratch> scratch);

  std::shared_ptr<Decoder> decoder_;
  ModelLimits limits_;
  KvPool pool_;
  int32_t num_axes_ = 1;
  // Step input in executor memory; grown as needed, kept.
  std::shared_ptr<void> ids_, positions_, embeddings_, tables_, logits_, hidden_;
  int64_t ids_capacity_ = 0, positions_capacity_ = 0, embeddings_capacity_ = 0, tables_capacity_ = 0,
          logits_capacity_ = 0, hidden_capacity_ = 0;
  int64_t num_embeddings_ = 0;
  std::vector<std::vector<SequenceRows>> sequences_;  // per CacheSpec
  std::vector<int32_t> logits_rows_;
  std::vector<int64_t> first_logit_;  // per slice: its first row in the logits, or -1
  bool samples_;
  std::mutex scratch_mutex_;
  std::vector<std::unique_ptr<SampleScratch>> scratch_;  // one per thread that ever sampled at once
};

}  // namespace turgo
