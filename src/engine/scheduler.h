// Decides what a step computes. Pure logic: no clock of its own, no threads, no memory of blocks.
//   - Decodes first, one row each; prefill chunks fill the budgets of tokens and time in order of (priority,
//     owner's turn, arrival).
//   - Where the time budget leaves a prompt fewer rows than a product takes at once, layered prefill: a chunk
//     of more rows goes through some layers a step beside the decodes, so that it reads the weights and the
//     pages of its context once. No other prompt moves meanwhile. Not with num_tokens_per_iter or
//     max_prefill_iters, which fix what a step takes.
//   - Queued sequences enter in that order as soon as the blocks of their whole context are there. The one
//     served last is preempted when a running one lacks a block; its blocks become cached, and what was taken
//     of them meanwhile is recomputed from its tokens.
//   - The sequence that is first in order can always go on, so something always progresses.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/prefix_cache.h"
#include "engine/sequence.h"
#include "engine/step_pacer.h"
#include "engine/step_plan.h"

namespace turgo {

struct SchedulerConfig {
  int32_t max_batch_size = 128;
  int32_t max_step_rows = 512;      // token budget of a step
  int32_t max_logits_rows = 512;    // of which from all_logits sequences
  int32_t num_tokens_per_iter = 0;  // rows of a step with decodes; 0 = as the pacer says
  int32_t max_prefill_iters = 0;    // chunks that a prompt may be cut into; 0 = any number
  double step_stretch = 0;          // StepPacer
  int32_t hidden_size = 0;
  int32_t num_layers = 0;  // ModelLimits
  bool enable_prefix_caching = true;
};

class Scheduler {
 public:
  Scheduler(const SchedulerConfig& config, CacheBlocks& blocks, PrefixCache& prefix)
      : config_(config), blocks_(blocks), prefix_(prefix), pacer_(config.step_stretch) {}

  void add(Sequence* sequence);     // queued
  void remove(Sequence* sequence);  // from wherever it is; its table is unpinned
  // The next step.
  const StepPlan& plan(double now);
  // The planned step was computed in so many seconds (0 = not measured): advances tables and registers full
  // blocks.
  void advance(double seconds);

  const std::vector<Sequence*>& queued() const { return queued_; }    // in order
  const std::vector<Sequence*>& running() const { return running_; }  // in order
  int64_t num_preemptions() const { return num_preemptions_; }
  int64_t num_queued_tokens() const { return num_queued_tokens_; }
  const StepPacer& pacer() const { return pacer_; }
  const StepWork& planned_work() const { return work_; }

  // The sequences of the planned step, parallel to its slices.
  const std::vector<Sequence*>& planned() const { return planned_; }
  const StepPlan& current_plan() const { return plan_; }

 private:
  int32_t make_room(Sequence& sequence, int32_t end);
  void preempt(Sequence* sequence);
  struct Admission {
    PrefixHit hit;  // cached blocks to start from; empty = its own table
    PrefixChain chain;
    int32_t hit_tokens = 0;
    CacheBlocks::Counts need;
  };
  Admission prepare(Sequence& sequence);
  bool fits(const Admission& admission) const;
  void admit(Sequence& sequence, Admission& admission, double now);
  void preempt_for_priority();
  void schedule_prefill(Sequence& sequence, bool is_new);
  void start_layers(Sequence& sequence, int32_t rows);
  void schedule_layers(int32_t min_layers);
  bool is_being_computed(const Sequence& sequence) const;
  int32_t reserve(Sequence& sequence, int32_t rows);
  void add_slice(Sequence& sequence, int32_t rows, bool is_last);

  // The chunk of layered prefill that is under way: rows behind the sequence's table, which grows at its end.
  struct LayeredChunk {
    Sequence* sequence = nullptr;
    int32_t num_rows = 0, layers_done = 0;
  };

  SchedulerConfig config_;
  CacheBlocks& blocks_;
  PrefixCache& prefix_;
  std::vector<Sequence*> queued_, running_, planned_;
  StepPlan plan_;
  LayeredChunk layered_;
  int64_t num_preemptions_ = 0, num_queued_tokens_ = 0;

  StepPacer pacer_;
  StepWork work_;              // of the planned step
  uint64_t paced_prompt_ = 0;  // the first in order of the prompts that are being read; 0 = none
  int64_t steps_beside_ = 0;   // with decodes since then
  int32_t prefill_left_ = 0;   // rows that prompts may still take in the step that is being planned
  int32_t logits_left_ = 0;    // of which from all_logits sequences
  double seconds_left_ = 0;    // and their time
};

}  // namespace turgo
