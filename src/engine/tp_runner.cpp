#include "engine/tp_runner.h"

#include "core/error.h"
#include "engine/engine_thread.h"

namespace turgo {

TpRunner::TpRunner(const std::vector<RankModel>& ranks, const CachePlan& cache)
    : unused_(ranks.size()), errors_(ranks.size()), team_(static_cast<int>(ranks.size())) {
  for (const RankModel& rank : ranks) {
    CHECK(rank.group != nullptr);
    CHECK_EQ(rank.group->rank(), static_cast<int>(runners_.size()));
    CHECK_EQ(rank.group->size(), static_cast<int>(ranks.size()));
    runners_.push_back(std::make_unique<DecoderRunner>(rank.decoder, cache, runners_.empty()));
    groups_.push_back(rank.group);
  }
}

void TpRunner::execute(const StepPlan& plan, StepResult& result) {
  team_.run([&](int member) {
    auto rank = static_cast<size_t>(member);
    errors_[rank] = nullptr;
    StepResult& out = rank == 0 ? result : unused_[rank];
    try {
      if (rank > 0) out.slices.assign(plan.slices.size(), {});
      runners_[rank]->execute(plan, out);
    } catch (...) {
      errors_[rank] = std::current_exception();
      groups_[rank]->abort();
    }
  });
  std::exception_ptr first;
  for (const std::exception_ptr& error : errors_) {
    if (!error) continue;
    if (!first) first = error;
    try {
      std::rethrow_exception(error);
    } catch (const Error& e) {
      if (e.code() != ErrorCode::kCancelled) first = error;  // the cause, not a rank that it set free
    } catch (...) {
      first = error;
    }
  }
  if (!first) return;
  groups_[0]->reset();
  std::rethrow_exception(first);
}

std::unique_ptr<Engine> create_engine(const std::vector<RankModel>& ranks, const EngineConfig& config) {
  CHECK(!ranks.empty());
  const std::shared_ptr<Decoder>& decoder = ranks[0].decoder;
  std::vector<CacheGroupShape> groups(decoder->cache_specs().size());
  for (const RankModel& rank : ranks)
    for (size_t g = 0; g < groups.size(); ++g) {
      groups[g].block_bytes += rank.decoder->cache_specs()[g].block_bytes;
      groups[g].window = rank.decoder->cache_specs()[g].window;
    }
  if (config.session_len > decoder->session_len())
    fail(ErrorCode::kInvalidArgument, "session_len: the model was loaded for {} tokens, got {}",
         decoder->session_len(), config.session_len);
  int32_t session_len = config.session_len > 0 ? config.session_len : decoder->session_len();
  int32_t max_rows =
      std::min(std::max(config.max_prefill_tokens, config.max_batch_size), decoder->max_rows());
  CachePlan cache = plan_cache(config.cache_max_entry_count, groups, config.max_batch_size, session_len,
                               max_rows, available_memory_bytes());
  std::unique_ptr<ModelRunner> runner;
  if (ranks.size() == 1) {
    runner = std::make_unique<DecoderRunner>(decoder, cache);
  } else {
    runner = std::make_unique<TpRunner>(ranks, cache);
  }
  return create_engine(std::move(runner), cache.num_blocks, config, decoder);
}

std::unique_ptr<Engine> Engine::create(std::shared_ptr<Decoder> decoder, const EngineConfig& config) {
  return create_engine({{std::move(decoder), nullptr}}, config);
}

}  // namespace turgo
