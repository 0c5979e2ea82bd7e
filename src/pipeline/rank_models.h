// The ranks of a tensor-parallel model as threads of this process: an executor with a compute team of its own
// for each, and a Group in which they meet.
#pragma once

#include <memory>
#include <vector>

#include "engine/tp_runner.h"
#include "models/load_model.h"
#include "ops/profile.h"

namespace turgo {

struct RankOptions {
  std::shared_ptr<ThreadTeam> team;  // computes if there is one rank; several share as many threads
  const KernelTable* kernels = nullptr;
  KvType kv_type = KvType::kBF16;
  int32_t session_len = 0, max_rows = 0;
  std::shared_ptr<StepProfile> profile;  // of rank 0, or null
};

// `shards`: one model per rank, in rank order. Warns with the measured ratio where a 4-bit cache is unsafe.
std::vector<RankModel> make_ranks(std::vector<LoadedModel> shards, const RankOptions& options);

// Throws Error{kInvalidArgument} if this machine has fewer cores than `tp` ranks need.
void check_tp(int32_t tp);

}  // namespace turgo
