// Tensor parallelism: every rank executes the same StepPlan with its own decoder, cache pool and compute
// team; their verbs meet in the Group. Rank 0 runs on the engine's thread and samples.
#pragma once

#include <exception>
#include <memory>
#include <vector>

#include "comm/group.h"
#include "core/thread_team.h"
#include "engine/decoder_runner.h"
#include "engine/engine.h"

namespace turgo {

struct RankModel {
  std::shared_ptr<Decoder> decoder;  // this rank's shard
  std::shared_ptr<Group> group;      // what its executor meets the others in; null if there is one rank
};

class TpRunner : public ModelRunner {
 public:
  TpRunner(const std::vector<RankModel>& ranks, const CachePlan& cache);
  const ModelLimits& limits() const override { return runners_[0]->limits(); }
  // If a rank throws, the others are freed from their waiting, and the first rank's own error is thrown.
  void execute(const StepPlan& plan, StepResult& result) override;

 private:
  std::vector<std::unique_ptr<DecoderRunner>> runners_;
  std::vector<std::shared_ptr<Group>> groups_;
  std::vector<StepResult> unused_;  // of the ranks that do not sample
  std::vector<std::exception_ptr> errors_;
  ThreadTeam team_;  // one thread per rank; member 0 is the engine's
};

// An engine over the ranks of one model, in rank order. Throws Error{kInvalidArgument, kResourceExhausted}.
std::unique_ptr<Engine> create_engine(const std::vector<RankModel>& ranks, const EngineConfig& config);

}  // namespace turgo
