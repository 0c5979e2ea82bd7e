#include "engine/scheduler.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/common/kv_block.h"

namespace turgo {
namespace {

// Of a step's time budget, whatever number of prompts wait: with a stretch of 2.25 a step then takes 2.9
// times as long as its decodes alone, still under the 3 that streams are promised.
constexpr double kMostStretches = 1.5;

// Rows of a chunk that goes through the layers over several steps, and the rows of a whole step below which
// it does: the widest tile of tokens of the CPU kernels.
constexpr int32_t kLayeredRows = 64, kTileRows = 16;

void insert_in_order(std::vector<Sequence*>& list, Sequence* s) {
  auto place = std::upper_bound(list.begin(), list.end(), s,
                                [](const Sequence* a, const Sequence* b) { return served_before(*a, *b); });
  list.insert(place, s);
}

bool erase_from(std::vector<Sequence*>& list, Sequence* s) {
  auto it = std::find(list.begin(), list.end(), s);
  if (it == list.end()) return false;
  list.erase(it);
  return true;
}

}  // namespace

void Scheduler::add(Sequence* s) {
  s->state = Sequence::State::kQueued;
  insert_in_order(queued_, s);
  num_queued_tokens_ += s->num_tokens();
}

void Scheduler::remove(Sequence* s) {
  if (s->state == Sequence::State::kQueued) {
    CHECK(erase_from(queued_, s), "sequence {}", s->id);
    num_queued_tokens_ -= s->num_tokens();
    return;
  }
  CHECK(erase_from(running_, s), "sequence {}", s->id);
  if (layered_.sequence == s) layered_ = {};
  blocks_.unpin(s->table);
  s->state = Sequence::State::kQueued;
}

void Scheduler::preempt(Sequence* s) {
  CHECK(erase_from(running_, s), "sequence {}", s->id);
  if (layered_.sequence == s) layered_ = {};
  blocks_.unpin(s->table);
  ++s->num_preemptions;
  ++num_preemptions_;
  add(s);
}

// Blocks for tokens up to `end`, if need be those of sequences served later. Returns for how many there are
// now: less where this one is alone and its windows hold no more. 0: this one is the last and was preempted
// itself.
int32_t Scheduler::make_room(Sequence& s, int32_t end) {
  while (!blocks_.extend(s.table, end, plan_.block_ops)) {
    Sequence* victim = running_.back();
    if (victim != &s) {
      preempt(victim);
    } else if (running_.size() > 1) {
      preempt(victim);
      return 0;
    } else {
      // Alone and still short of one block: the one that a copy of a shared block would need. Its tokens are
      // computed again instead.
      int32_t whole = s.table.num_tokens / kKvBlockTokens * kKvBlockTokens;
      CHECK(whole < s.table.num_tokens, "{} tokens can never fit", end);
      blocks_.truncate(s.table, whole);
      end = std::min(end, s.table.num_tokens + 1);
    }
  }
  return end;
}

// Of the next rows of a running sequence, at most `max_rows`: how many have their blocks now.
int32_t Scheduler::reserve(Sequence& s, int32_t max_rows) {
  int32_t want = std::min(s.num_pending(), max_rows);
  // A shorter chunk rather than others' blocks: the windows give blocks up as they go.
  if (int32_t room = blocks_.window_room(s.table); room > 0) want = std::min(want, room);
  int32_t end = make_room(s, s.table.num_tokens + want);
  return end == 0 ? 0 : end - s.table.num_tokens;
}

// Adds reserved rows to the plan; is_last: they go through the last layer in this step.
void Scheduler::add_slice(Sequence& s, int32_t num_rows, bool is_last) {
  StepSlice slice;
  slice.sequence_id = s.id;
  slice.first_index = s.table.num_tokens;
  slice.num_rows = num_rows;
  slice.token_ids = s.tokens.data() + slice.first_index;
  slice.block_table = s.table.ids.data();
  for (const BlockTable& window : s.table.windows) slice.window_tables.push_back(window.ids.data());
  if (!s.embeddings.values.empty()) {
    int32_t skipped = s.num_embeddings_before(slice.first_index);
    slice.num_embeddings = s.num_embeddings_before(slice.first_index + num_rows) - skipped;
    slice.embeddings = s.embeddings.values.data() + static_cast<int64_t>(skipped) * config_.hidden_size;
  }
  if (is_last) {
    slice.all_logits = s.all_logits;
    slice.as_hidden = s.as_hidden;
    if (!s.all_logits && slice.first_index + num_rows == s.num_tokens() && s.max_new > 0) {
      slice.sampler = &s.sampler;
      slice.sample_position = s.num_tokens();
      slice.mask = s.request.mask.get();
    }
    plan_.num_logits += slice.as_hidden ? 0 : slice.all_logits ? num_rows : slice.sampler != nullptr;
  }
  plan_.num_rows += num_rows;
  plan_.slices.push_back(slice);
  planned_.push_back(&s);
}

// Will a running sequence register the very block that `s` would have to compute next? Then waiting is
// cheaper.
bool Scheduler::is_being_computed(const Sequence& s) const {
  if (!config_.enable_prefix_caching || s.all_logits) return false;
  PrefixSource source = s.prefix_source();
  PrefixChain chain;
  prefix_.match(source, s.num_tokens() - 1, chain);
  int32_t hit = chain.num_blocks * kKvBlockTokens;
  if (s.table.num_tokens > hit || s.num_tokens() - 1 < hit + kKvBlockTokens) return false;
  uint64_t next = prefix_.next_hash(source, chain);
  return next != 0 && std::any_of(running_.begin(), running_.end(), [&](const Sequence* r) {
           return !r->all_logits && prefix_.next_hash(r->prefix_source(), r->chain) == next;
         });
}

// What `s` would start from: what is left of its own blocks, or a longer cached prefix; and the blocks that
// its whole context then takes out of the available ones.
Scheduler::Admission Scheduler::prepare(Sequence& s) {
  Admission a;
  blocks_.validate(s.table);
  blocks_.truncate(s.table, std::min(s.max_reuse, s.num_tokens() - 1));  // one row is needed for its logits
  if (config_.enable_prefix_caching && !s.all_logits)
    a.hit = prefix_.match(s.prefix_source(), s.num_tokens() - 1, a.chain);
  a.hit_tokens = static_cast<int32_t>(a.hit.ids.size()) * kKvBlockTokens;
  if (a.hit_tokens > s.table.num_tokens) {
    a.need = blocks_.need(a.hit, s.num_tokens());
    return a;
  }
  a.hit = {};
  a.need = blocks_.need(s.table, s.num_tokens());
  if (running_.empty() && !blocks_.available(a.need)) {  // by the copy of a shared block only
    blocks_.truncate(s.table, s.table.num_tokens / kKvBlockTokens * kKvBlockTokens);
    a.need = blocks_.need(s.table, s.num_tokens());
  }
  return a;
}

// Beside what runs: the rest of the others' contexts, and a block each to decode on.
bool Scheduler::fits(const Admission& a) const {
  if (static_cast<int32_t>(running_.size()) >= config_.max_batch_size) return false;
  CacheBlocks::Counts sum = a.need;
  for (const Sequence* r : running_) {
    auto rest = blocks_.rest(r->table, r->num_tokens() + kKvBlockTokens);
    for (size_t g = 0; g < sum.size(); ++g) sum[g] += rest[g];
  }
  return blocks_.available(sum);
}

void Scheduler::admit(Sequence& s, Admission& a, double now) {
  if (a.hit.empty()) {
    blocks_.pin(s.table);
    s.chain = {};
  } else {
    CacheTable table = blocks_.adopt(a.hit);
    blocks_.release(s.table);
    s.table = std::move(table);
    s.chain = a.chain;
  }
  if (!s.started) {
    s.started = true;
    s.admit_time = now;
    s.stats.cached_tokens = s.table.num_tokens;
    prefix_.count_query(s.num_tokens(), s.table.num_tokens);
  }
  s.max_reuse = INT32_MAX;
  s.state = Sequence::State::kRunning;
  insert_in_order(running_, &s);
}

// A queued sequence of a better class makes its way by preempting the last of a worse one. Inside a class
// nobody is preempted to let another in.
void Scheduler::preempt_for_priority() {
  if (queued_.empty()) return;
  Sequence& s = *queued_.front();
  while (!running_.empty() && running_.back()->request.priority > s.request.priority && !fits(prepare(s)))
    preempt(running_.back());
}

// The next chunk of a prompt: as many rows as the budgets of tokens and time leave, and one at least if no
// other prompt moves in this step, or if it has just been let in.
void Scheduler::schedule_prefill(Sequence& s, bool is_new) {
  int32_t rows = std::min(prefill_left_, s.num_pending()), first = s.table.num_tokens;
  if (s.all_logits && !s.as_hidden) rows = std::min(rows, logits_left_);
  if (rows <= 0 || s.paused) return;
  int32_t paced = pacer_.rows_within(seconds_left_, first);
  if (paced < std::min(rows, kTileRows) && config_.num_layers > 1 && config_.max_prefill_iters == 0 &&
      work_.prefill_rows == 0)
    return start_layers(s, rows);
  if (config_.max_prefill_iters > 0)
    paced = std::max(paced, (s.num_tokens() + config_.max_prefill_iters - 1) / config_.max_prefill_iters);
  if (work_.prefill_rows == 0 || is_new) paced = std::max(paced, 1);
  rows = std::min(rows, paced);
  if (rows <= 0) return;
  rows = reserve(s, rows);
  if (rows == 0) return;
  add_slice(s, rows, true);
  prefill_left_ -= rows;
  if (s.all_logits && !s.as_hidden) logits_left_ -= rows;
  seconds_left_ -= pacer_.prefill_seconds(rows, first);
  work_.prefill_rows += rows;
  work_.prefill_keys += StepPacer::keys_of(first, rows);
}

// As many rows as fit into a step that takes them through one layer, and whole tiles if there are more.
void Scheduler::start_layers(Sequence& s, int32_t rows) {
  int32_t fit = pacer_.rows_within(seconds_left_ * config_.num_layers, s.table.num_tokens);
  fit = std::clamp(fit, 1, kLayeredRows);
  if (fit < rows) rows = fit > kTileRows ? fit / kTileRows * kTileRows : fit;
  rows = reserve(s, rows);
  if (rows == 0) return;
  layered_ = {&s, rows, 0};
  schedule_layers(1);
}

// The chunk that is under way goes through as many layers as the time budget leaves, as the step's first
// rows.
void Scheduler::schedule_layers(int32_t min_layers) {
  Sequence& s = *layered_.sequence;
  const int32_t first = s.table.num_tokens, rows = layered_.num_rows;
  const int32_t begin = layered_.layers_done, left = config_.num_layers - begin;
  double layer_seconds = pacer_.prefill_seconds(rows, first) / config_.num_layers;
  double fit = seconds_left_ / std::max(layer_seconds, 1e-12);
  int32_t layers = fit >= left ? left : std::max(static_cast<int32_t>(fit), min_layers);
  add_slice(s, rows, layers == left);
  std::rotate(plan_.slices.begin(), plan_.slices.end() - 1, plan_.slices.end());
  std::rotate(planned_.begin(), planned_.end() - 1, planned_.end());
  plan_.layered = {begin, begin + layers, layers == left};
  prefill_left_ = 0;
  double share = plan_.layer_share(0, config_.num_layers);
  work_.prefill_rows += share * rows;
  work_.prefill_keys += share * StepPacer::keys_of(first, rows);
}

const StepPlan& Scheduler::plan(double now) {
  plan_ = {};
  planned_.clear();
  work_ = {};
  preempt_for_priority();
  int64_t preemptions = num_preemptions_;
  int32_t num_decodes = 0;
  int64_t decode_keys = 0;
  uint64_t prompt = 0;
  for (const Sequence* s : running_) {
    if (s->is_decode())
      ++num_decodes, decode_keys += s->num_tokens();
    else if (prompt == 0)
      prompt = s->id;
  }
  if (prompt != paced_prompt_) paced_prompt_ = prompt, steps_beside_ = 0;
  prefill_left_ = config_.max_step_rows - num_decodes;
  logits_left_ = config_.max_logits_rows;
  bool fixed = config_.num_tokens_per_iter > 0;
  if (fixed && num_decodes > 0)
    prefill_left_ = std::min(prefill_left_, std::max(config_.num_tokens_per_iter - num_decodes, 1));
  // Each decode has grown by a key per step beside the prompt; one that joined later counts as if it had.
  int64_t grown = num_decodes * steps_beside_;
  bool measures = !fixed && pacer_.must_measure(num_decodes, decode_keys);
  if (measures || layered_.sequence) prefill_left_ = 0;
  seconds_left_ = fixed ? StepPacer::kUnbounded : pacer_.prefill_budget(num_decodes, decode_keys, grown);
  // One waiting prompt may stretch a step once, several together more: else a few running streams hold the
  // batch small, and 16 clients in a closed loop got 560 tokens/s instead of 920, their first token after 1.3
  // s.
  int32_t room = config_.max_batch_size - static_cast<int32_t>(running_.size());
  int32_t num_prompts = static_cast<int32_t>(running_.size()) - num_decodes +
                        std::clamp(static_cast<int32_t>(queued_.size()), 0, std::max(room, 0));
  seconds_left_ *= std::clamp<double>(num_prompts, 1, kMostStretches);

  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence& s = *running_[i];
    if (!s.is_decode()) {
      schedule_prefill(s, false);
      continue;
    }
    int32_t rows = reserve(s, 1);
    if (rows == 0) continue;
    add_slice(s, rows, true);
    ++work_.num_decodes;
    work_.decode_keys += s.num_tokens();
  }
  if (layered_.sequence && !plan_.layered) {
    if (measures) seconds_left_ = 0;
    schedule_layers(measures && work_.num_decodes > 0 ? 0 : 1);
  }
  if (num_preemptions_ > preemptions) return plan_;

  for (size_t i = 0; i < queued_.size() && prefill_left_ > 0;) {
    Sequence& s = *queued_[i];
    if (work_.prefill_rows > 0 && pacer_.rows_within(seconds_left_, 0) == 0) break;
    if (is_being_computed(s)) {
      ++i;
      continue;
    }
    Admission admission = prepare(s);
    if (!fits(admission)) break;
    queued_.erase(queued_.begin() + static_cast<ptrdiff_t>(i));
    num_queued_tokens_ -= s.num_tokens();
    admit(s, admission, now);
    schedule_prefill(s, true);
  }
  return plan_;
}

void Scheduler::advance(double seconds) {
  pacer_.observe(work_, seconds);
  if (work_.num_decodes > 0) ++steps_beside_;
  if (plan_.layered) {
    layered_.layers_done = plan_.layered->end;
    if (plan_.layered->is_last) layered_ = {};
  }
  for (size_t i = 0; i < planned_.size(); ++i) {
    if (plan_.is_unfinished(i)) continue;
    Sequence& s = *planned_[i];
    blocks_.set_num_tokens(s.table, s.table.num_tokens + plan_.slices[i].num_rows);
    if (config_.enable_prefix_caching) prefix_.insert(s.prefix_source(), s.table, s.chain);
    blocks_.leave_behind(s.table);
  }
}

}  // namespace turgo
