#include "pipeline/rank_models.h"

#include <algorithm>

#include "comm/thread_group.h"
#include "core/error.h"
#include "core/log.h"
#include "models/kv_outliers.h"
#include "ops/eager.h"

namespace turgo {
namespace {

// The worst over the ranks, which meet in the probe's verbs and so must run together.
KvOutliers measure_together(const std::vector<LoadedModel>& shards,
                            const std::vector<std::shared_ptr<Executor>>& executors) {
  std::vector<KvOutliers> found(shards.size());
  ThreadTeam ranks(static_cast<int>(shards.size()));
  ranks.run([&](int rank) {
    auto r = static_cast<size_t>(rank);
    found[r] = measure_kv_outliers(shards[r].config, shards[r].weights, executors[r]);
  });
  KvOutliers worst = found[0];
  for (const KvOutliers& one : found) {
    if (one.worst_k > worst.worst_k) worst.worst_k = one.worst_k, worst.worst_layer = one.worst_layer;
    worst.worst_v = std::max(worst.worst_v, one.worst_v);
  }
  return worst;
}

void warn_about_int4(const KvOutliers& found) {
  if (found.worst_k <= kUnsafeInt4Ratio && found.worst_v <= kUnsafeInt4Ratio) return;
  log_warning(
      "--quant-policy 4: 4 bits are unsafe for this model's KV cache: the largest channel of its keys is "
      "{:.1f} times the middle one (layer {}; values: {:.1f}; up to {:.0f} is safe). Answers will be worse; "
      "--quant-policy 84 keeps the keys in 8 bits and the values in 4",
      found.worst_k, found.worst_layer, found.worst_v, kUnsafeInt4Ratio);
}

}  // namespace

void check_tp(int32_t tp) {
  int cores = usable_cores();
  if (tp > cores)
    fail(ErrorCode::kInvalidArgument,
         "--tp {}: expected at most {}, the number of cores here: on a CPU every rank computes on cores of "
         "its own",
         tp, cores);
}

std::vector<RankModel> make_ranks(std::vector<LoadedModel> shards, const RankOptions& options) {
  auto world = static_cast<int>(shards.size());
  auto groups = make_thread_group(world);
  if (world == 1) groups[0] = nullptr;
  std::vector<std::shared_ptr<Executor>> executors;
  for (int r = 0; r < world; ++r) {
    Range threads = split_range(options.team->size(), world, r);
    int num_threads = static_cast<int>(std::max<int64_t>(threads.end - threads.begin, 1));
    auto team = world == 1 ? options.team : std::make_shared<ThreadTeam>(num_threads);
    executors.push_back(make_eager_executor(std::move(team), *options.kernels,
                                            shards[static_cast<size_t>(r)].precision,
                                            groups[static_cast<size_t>(r)]));
  }
  if (options.kv_type == KvType::kI4) warn_about_int4(measure_together(shards, executors));
  if (options.profile)
    executors[0] = make_profiling_executor(executors[0], shards[0].precision, options.profile);
  std::vector<RankModel> ranks;
  for (size_t r = 0; r < shards.size(); ++r)
    ranks.push_back(
        {std::make_shared<Decoder>(std::move(shards[r].config), std::move(shards[r].weights), executors[r],
                                   options.kv_type, options.session_len, options.max_rows),
         groups[r]});
  return ranks;
}

}  // namespace turgo
