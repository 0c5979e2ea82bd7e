// A model for tests and the simulation: its "cache" remembers which token each slot of each block holds (in
// window groups: after which context), and its logits are a hash of what the slots say through the tables. A
// wrong block, a stale slot or a swapped row so changes the tokens. Not used by the product's commands.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "engine/model_runner.h"
#include "kernels/common/kv_block.h"

namespace turgo {

// The model itself: a running hash of its context, logits from the hash.
struct FakeModel {
  int32_t vocab_size = 0, hidden_size = 0;
  int32_t poison_token = -1;     // a context that holds it has NaN logits
  std::vector<int32_t> windows;  // keys that each window group sees

  static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9E3779B97F4A7C15u;
    return h ^ (h >> 29);
  }
  // What a slot holds; 0 = poison or never written.
  uint64_t value(int32_t id, int32_t position, const float* embedding) const {
    if (id == poison_token && id >= 0) return 0;
    uint64_t v = mix(static_cast<uint32_t>(position) + 7, static_cast<uint32_t>(id < 0 ? -1 : id));
    if (id < 0 && embedding)
      for (int32_t i = 0; i < hidden_size; ++i) v = mix(v, static_cast<uint64_t>(embedding[i] * 1024));
    return v | 1;
  }
  // Of a context's hash; 0 = poisoned.
  static uint64_t extend(uint64_t h, uint64_t v) { return h == 0 || v == 0 ? 0 : mix(h, v) | 1; }
  // What a window group's slot holds for a token with this value after a context with this hash: like a
  // hidden state, it depends on all that was before.
  static uint64_t deep(uint64_t h, uint64_t v) { return h == 0 || v == 0 ? 0 : mix(v, h) | 1; }
  // What the model makes of a context: values of all its tokens.
  uint64_t state(const std::vector<uint64_t>& values) const {
    uint64_t h = 1;
    std::vector<uint64_t> deep_values;
    for (uint64_t v : values) deep_values.push_back(deep(h, v)), h = extend(h, v);
    for (int32_t window : windows)
      for (size_t i = values.size() - std::min(values.size(), static_cast<size_t>(window)); i < values.size();
           ++i)
        h = extend(h, deep_values[i]);
    return h;
  }
  std::vector<float> logits(uint64_t h) const {
    std::vector<float> row(static_cast<size_t>(vocab_size));
    uint64_t x = h;
    for (size_t i = 0; i < row.size(); ++i) {
      x = mix(x, i + 1);
      row[i] = static_cast<float>(x >> 40) * 0x1p-22f;  // [0, 4)
    }
    if (h == 0) row[0] = __builtin_nanf("");
    return row;
  }
};

class FakeRunner : public ModelRunner {
 public:
  FakeRunner(int32_t num_blocks, ModelLimits limits) : limits_(std::move(limits)) {
    model.vocab_size = limits_.vocab_size;
    model.hidden_size = limits_.hidden_size;
    slots_.emplace_back(static_cast<size_t>(num_blocks) * kKvBlockTokens, 0);
    for (const WindowGroup& w : limits_.windows) {
      model.windows.push_back(w.window);
      slots_.emplace_back(static_cast<size_t>(w.num_blocks) * kKvBlockTokens, 0);
    }
  }

  static ModelLimits small_limits() {
    ModelLimits l;
    l.model_id = "fake";
    l.vocab_size = 61;
    l.hidden_size = 2;
    l.session_len = 1024;
    l.max_rows = 128;
    l.max_logits_rows = 40;
    l.eos_token_ids = {60};
    return l;
  }

  const ModelLimits& limits() const override { return limits_; }

  void execute(const StepPlan& plan, StepResult& result) override {
    if (before_step) before_step(plan);
    num_rows += plan.num_rows;
    ++num_steps;
    max_step_rows = std::max(max_step_rows, plan.num_rows);
    for (const BlockOp& op : plan.block_ops)
      for (int32_t i = 0; i < kKvBlockTokens; ++i)
        slot(op.group, op.to, i) = op.from < 0 ? 0 : slot(op.group, op.from, i);
    for (size_t i = 0; i < plan.slices.size(); ++i) {
      if (i == 0 && plan.layered) go_on(plan.slices[0], *plan.layered);
      if (!plan.is_unfinished(i)) store(plan.slices[i]);
    }
    if (!plan.layered) waiting_ = {};
    result.slices.resize(plan.slices.size());
    for (size_t i = 0; i < plan.slices.size(); ++i) read(plan.slices[i], result.slices[i]);
  }

  // What the model says after `context`: the reference that every path must give.
  std::vector<float> logits_after(const std::vector<int32_t>& context) const {
    std::vector<uint64_t> values;
    for (size_t i = 0; i < context.size(); ++i)
      values.push_back(model.value(context[i], static_cast<int32_t>(i), nullptr));
    return model.logits(model.state(values));
  }

  FakeModel model;
  std::function<void(const StepPlan&)> before_step;  // may throw: a failed step
  int64_t num_rows = 0, num_steps = 0, num_layered_steps = 0;
  int32_t max_step_rows = 0;

 private:
  uint64_t& slot(int32_t group, int32_t block, int32_t i) {
    return slots_.at(static_cast<size_t>(group))
        .at(static_cast<size_t>(block) * kKvBlockTokens + static_cast<size_t>(i));
  }
  uint64_t& slot_of(const StepSlice& s, int32_t index, size_t group = 0) {
    const int32_t* table = group == 0 ? s.block_table : s.window_tables.at(group - 1);
    return slot(static_cast<int32_t>(group), table[index / kKvBlockTokens], index % kKvBlockTokens);
  }
  // Layers come in order, for the same rows, and nobody else writes into their slots.
  void go_on(const StepSlice& s, const StepPlan::LayeredSlice& layers) {
    ++num_layered_steps;
    CHECK(0 <= layers.begin && layers.begin <= layers.end && layers.end <= limits_.num_layers);
    CHECK_EQ(layers.is_last, layers.end == limits_.num_layers);
    if (layers.begin > 0) {
      CHECK(waiting_.sequence_id == s.sequence_id && waiting_.first_index == s.first_index &&
                waiting_.num_rows == s.num_rows && waiting_.layer == layers.begin,
            "sequence {}, {} rows from {}, layer {}", s.sequence_id, s.num_rows, s.first_index, layers.begin);
    }
    for (size_t g = 0; g < slots_.size(); ++g)
      for (int32_t i = s.first_index; i < s.first_index + s.num_rows; ++i) {
        if (layers.begin > 0) CHECK_EQ(slot_of(s, i, g), kUnfinished);
        slot_of(s, i, g) = kUnfinished;
      }
    waiting_ = {s.sequence_id, s.first_index, s.num_rows, layers.end};
  }
  void store(const StepSlice& s) {
    const float* embedding = s.embeddings;
    uint64_t h = 1;
    if (slots_.size() > 1)
      for (int32_t i = 0; i < s.first_index; ++i) h = FakeModel::extend(h, slot_of(s, i));
    for (int32_t i = s.first_index; i < s.first_index + s.num_rows; ++i) {
      int32_t id = s.token_ids[i - s.first_index];
      uint64_t value = model.value(id, i, embedding);
      slot_of(s, i) = value;
      for (size_t g = 1; g < slots_.size(); ++g) slot_of(s, i, g) = FakeModel::deep(h, value);
      h = FakeModel::extend(h, value);
      if (id < 0) embedding += limits_.hidden_size;
    }
  }
  // The model's state after row `index`, from group 0's hash and what the windows hold.
  uint64_t state_at(const StepSlice& s, int32_t index, uint64_t h) {
    for (size_t g = 1; g < slots_.size(); ++g)
      for (int32_t i = std::max(index + 1 - model.windows[g - 1], 0); i <= index; ++i)
        h = FakeModel::extend(h, slot_of(s, i, g));
    return h;
  }
  void read(const StepSlice& s, SliceResult& r) {
    if (!s.sampler && !s.all_logits) return;
    uint64_t h = 1;
    for (int32_t i = 0; i < s.first_index + s.num_rows; ++i) {
      h = FakeModel::extend(h, slot_of(s, i));
      if (!s.all_logits || i < s.first_index) continue;
      auto row = model.logits(state_at(s, i, h));
      r.logits.insert(r.logits.end(), row.begin(), row.end());
    }
    h = state_at(s, s.first_index + s.num_rows - 1, h);
    if (!s.sampler) return;
    auto row = model.logits(h);
    SampleScratch scratch;
    r.token = sample_slice(s, row, scratch);
  }

  static constexpr uint64_t kUnfinished = 2;  // even: no token's
  struct Waiting {
    uint64_t sequence_id = 0;
    int32_t first_index = 0, num_rows = 0, layer = -1;
  };

  ModelLimits limits_;
  std::vector<std::vector<uint64_t>> slots_;  // per group
  Waiting waiting_;                           // the rows of a layered slice whose last layers are to come
};

}  // namespace turgo
