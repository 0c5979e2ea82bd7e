#include "sampling/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/error.h"
#include "sampling/philox.h"
#include "sampling/weighted_select.h"

namespace turgo {
namespace {

constexpr float kMinusInf = -std::numeric_limits<float>::infinity();
constexpr int32_t kMaxLogprobs = 128;
constexpr size_t kMaxLogitBias = 65536;

using Candidate = SampleScratch::Candidate;

// The canonical order of candidates: better value first, then the smaller id.
bool better(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token_id < b.token_id;
}

// e^x for x <= 0 by 2^n * p(f), relative error 2e-7; libm's expf is a call per element and does not
// vectorise.
float exp_nonpositive(float x) {
  x = x < -87.0f ? -87.0f : x;
  float n = x * 1.44269504f - 0.5f;
  auto i = static_cast<int32_t>(n);  // toward zero: round(x / ln 2) for x <= 0
  float f = x - static_cast<float>(i) * 0.693359375f + static_cast<float>(i) * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * f * f + f + 1.0f;
  return p * std::bit_cast<float>((i + 127) << 23);
}

struct RowScan {
  float max = kMinusInf;
  bool bad = false;     // NaN or +inf somewhere
  size_t max_from = 0;  // the first `max` is less than kScanBlock from here
};

constexpr size_t kScanBlock = 1024;

// In vectors by name: g++ 12 makes none of a maximum whose order of comparisons matters to NaN.
RowScan scan_row(std::span<const float> x) {
  using Floats [[gnu::vector_size(16)]] = float;
  using Ints [[gnu::vector_size(16)]] = int32_t;
  constexpr size_t kVectors = 4;  // one chain of comparisons would bound the speed
  constexpr float kMost = std::numeric_limits<float>::max();
  RowScan r;
  Ints bad[kVectors] = {};
  for (size_t begin = 0; begin < x.size(); begin += kScanBlock) {
    const size_t end = std::min(begin + kScanBlock, x.size());
    Floats max[kVectors];
    for (Floats& m : max) m = Floats{} + kMinusInf;
    size_t i = begin;
    for (; i + 4 * kVectors <= end; i += 4 * kVectors) {
      Floats v[kVectors];
      std::memcpy(v, x.data() + i, sizeof v);
      for (size_t j = 0; j < kVectors; ++j) {
        bad[j] |= ~(v[j] <= kMost);
        max[j] = v[j] > max[j] ? v[j] : max[j];
      }
    }
    float best = kMinusInf;
    for (const Floats& m : max)
      for (size_t lane = 0; lane < 4; ++lane) best = std::max(best, m[lane]);
    for (; i < end; ++i) {
      r.bad |= !(x[i] <= kMost);
      best = std::max(best, x[i]);
    }
    if (best > r.max) r.max = best, r.max_from = begin;
  }
  for (const Ints& b : bad)
    for (size_t lane = 0; lane < 4; ++lane) r.bad |= b[lane] != 0;
  return r;
}

// Stop ids are no choice before min_new_tokens, except where a mask leaves nothing else: an answer that has
// its form ends.
RowScan forbid_stops(std::span<float> logits, const std::vector<int32_t>& stop_ids, bool is_masked) {
  std::vector<std::pair<int32_t, float>> kept;
  for (int32_t id : stop_ids) {
    if (id < 0 || static_cast<size_t>(id) >= logits.size()) continue;
    kept.emplace_back(id, logits[static_cast<size_t>(id)]);
    logits[static_cast<size_t>(id)] = kMinusInf;
  }
  RowScan scan = scan_row(logits);
  if (!is_masked || scan.bad || scan.max != kMinusInf) return scan;
  for (auto it = kept.rbegin(); it != kept.rend(); ++it) logits[static_cast<size_t>(it->first)] = it->second;
  return scan_row(logits);
}

// weights[i] = exp((x[i] - max) * inv_t), 0 where x is -inf; returns their sum. Eight running sums in fixed
// order.
double exp_row(std::span<const float> x, float max, float inv_t, std::vector<float>& weights) {
  weights.resize(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    float d = (x[i] - max) * inv_t;
    weights[i] = d < -87.0f ? 0.0f : exp_nonpositive(d);
  }
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= weights.size(); i += 8)
    for (size_t j = 0; j < 8; ++j) sums[j] += weights[i + j];
  for (; i < weights.size(); ++i) sums[0] += weights[i];
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// The k best entries of a row in canonical order. One pass; the heap changes about k * ln(n / k) times.
void top_k_of_row(std::span<const float> x, size_t k, std::vector<Candidate>& out) {
  out.clear();
  for (size_t i = 0; i < x.size(); ++i) {
    if (out.size() == k && x[i] <= out.front().value) continue;  // equal: the earlier id stays
    if (x[i] == kMinusInf) continue;
    if (out.size() == k) {
      std::pop_heap(out.begin(), out.end(), better);
      out.pop_back();
    }
    out.push_back({x[i], static_cast<int32_t>(i), 0});
    std::push_heap(out.begin(), out.end(), better);
  }
  std::sort_heap(out.begin(), out.end(), better);
}

// Large k: selection over all candidates instead of a heap.
void select_k_of_row(std::span<const float> x, size_t k, std::vector<Candidate>& out) {
  out.clear();
  for (size_t i = 0; i < x.size(); ++i)
    if (x[i] != kMinusInf) out.push_back({x[i], static_cast<int32_t>(i), 0});
  if (out.size() <= k) return;
  std::nth_element(out.begin(), out.begin() + static_cast<ptrdiff_t>(k), out.end(), better);
  out.resize(k);
}

double mass_of(const Candidate& c) {
  return c.weight;
}

// top-p: keeps the smallest set of best candidates whose share of the mass reaches p.
void keep_nucleus(std::vector<Candidate>& c, float top_p) {
  double mass = 0;
  for (const Candidate& i : c) mass += i.weight;
  c.resize(weighted_select(std::span(c), mass * static_cast<double>(top_p), better, mass_of));
}

int32_t draw(std::vector<Candidate>& c, double u) {
  double mass = 0;
  for (const Candidate& i : c) mass += i.weight;
  return c[weighted_select(std::span(c), u * mass, better, mass_of) - 1].token_id;
}

// No truncation: walks the row in id order.
int32_t draw_from_row(const std::vector<float>& weights, double target) {
  double mass = 0;
  int32_t last = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    mass += weights[i];
    last = static_cast<int32_t>(i);
    if (mass > target) break;
  }
  return last;
}

void check_range(const char* name, float value, float low, float high) {
  if (!(value >= low && value <= high))
    fail(ErrorCode::kInvalidArgument, "{}: expected {} to {}, got {}", name, low, high, value);
}

}  // namespace

void validate(const SamplingParams& p, int32_t vocab_size) {
  check_range("temperature", p.temperature, 0, 1000);
  if (p.top_k < -1)
    fail(ErrorCode::kInvalidArgument, "top_k: expected -1 or 0 (off) or a count, got {}", p.top_k);
  if (!(p.top_p > 0 && p.top_p <= 1))
    fail(ErrorCode::kInvalidArgument, "top_p: expected more than 0 and at most 1, got {}", p.top_p);
  check_range("min_p", p.min_p, 0, 1);
  if (!(p.repetition_penalty > 0 && p.repetition_penalty <= 1000))
    fail(ErrorCode::kInvalidArgument, "repetition_penalty: expected more than 0 (1 = off), got {}",
         p.repetition_penalty);
  check_range("presence_penalty", p.presence_penalty, -2, 2);
  check_range("frequency_penalty", p.frequency_penalty, -2, 2);
  if (p.num_logprobs < -1 || p.num_logprobs > kMaxLogprobs)
    fail(ErrorCode::kInvalidArgument, "logprobs: expected -1 (none) to {}, got {}", kMaxLogprobs,
         p.num_logprobs);
  if (p.min_new_tokens < 0)
    fail(ErrorCode::kInvalidArgument, "min_new_tokens: expected 0 or more, got {}", p.min_new_tokens);
  if (p.logit_bias.size() > kMaxLogitBias)
    fail(ErrorCode::kInvalidArgument, "logit_bias: expected at most {} entries, got {}", kMaxLogitBias,
         p.logit_bias.size());
  for (auto [id, bias] : p.logit_bias) {
    if (id < 0 || id >= vocab_size)
      fail(ErrorCode::kInvalidArgument, "logit_bias: token id {} is not in 0 to {}", id, vocab_size - 1);
    if (!(bias <= std::numeric_limits<float>::max()))
      fail(ErrorCode::kInvalidArgument, "logit_bias: expected a finite number or -inf for token {}, got {}",
           id, bias);
  }
}

Sampler::Sampler(const SamplingParams& params, std::vector<int32_t> stop_ids, int32_t vocab_size)
    : params_(params), stop_ids_(std::move(stop_ids)) {
  if (params_.repetition_penalty != 1) is_seen_.resize((static_cast<size_t>(vocab_size) + 63) / 64);
}

void Sampler::add_prompt(std::span<const int32_t> ids) {
  if (is_seen_.empty()) return;
  for (int32_t id : ids) {
    if (id < 0) continue;
    uint64_t& word = is_seen_[static_cast<size_t>(id) / 64];
    uint64_t bit = uint64_t{1} << (id % 64);
    if (!(word & bit)) seen_.push_back(id);
    word |= bit;
  }
}

void Sampler::add_generated(int32_t id) {
  ++num_generated_;
  add_prompt({&id, 1});
  if (params_.presence_penalty == 0 && params_.frequency_penalty == 0) return;
  auto it = std::lower_bound(counts_.begin(), counts_.end(), std::pair{id, 0});
  if (it == counts_.end() || it->first != id) it = counts_.insert(it, {id, 0});
  ++it->second;
}

bool Sampler::apply_penalties(std::span<float> logits, SampleScratch& scratch) const {
  bool keep_raw = params_.num_logprobs >= 0;
  scratch.raw.clear();
  auto touch = [&](int32_t id, float value) {
    if (keep_raw) scratch.raw.emplace_back(id, logits[static_cast<size_t>(id)]);
    logits[static_cast<size_t>(id)] = value;
  };
  for (int32_t id : seen_) {
    float x = logits[static_cast<size_t>(id)];
    touch(id, x > 0 ? x / params_.repetition_penalty : x * params_.repetition_penalty);
  }
  for (auto [id, count] : counts_)
    touch(id, logits[static_cast<size_t>(id)] - params_.presence_penalty -
                  params_.frequency_penalty * static_cast<float>(count));
  for (auto [id, bias] : params_.logit_bias) touch(id, logits[static_cast<size_t>(id)] + bias);
  return !seen_.empty() || !counts_.empty() || !params_.logit_bias.empty();
}

SampledToken Sampler::sample(std::span<float> logits, int64_t position, const uint32_t* allowed,
                             SampleScratch& scratch) const {
  SampledToken result;
  const SamplingParams& p = params_;
  RowScan scan = scan_row(logits);
  if (scan.bad || scan.max == kMinusInf) {
    result.error = "the model's logits are not finite; is the model file or an embedding damaged?";
    return result;
  }
  double log_z = 0;
  if (p.num_logprobs >= 0) {
    log_z = scan.max + std::log(exp_row(logits, scan.max, 1, scratch.weights));
    if (p.num_logprobs > 0) {
      top_k_of_row(logits, static_cast<size_t>(p.num_logprobs), scratch.candidates);
      for (const Candidate& c : scratch.candidates)
        result.top_logprobs.push_back({c.token_id, static_cast<float>(c.value - log_z)});
    }
  }

  const bool changed = apply_penalties(logits, scratch);
  if (allowed)
    for (size_t i = 0; i < logits.size(); ++i)
      if (!(allowed[i / 32] >> (i % 32) & 1)) logits[i] = kMinusInf;
  if (num_generated_ < p.min_new_tokens) {
    scan = forbid_stops(logits, stop_ids_, allowed != nullptr);
  } else if (changed || allowed) {
    scan = scan_row(logits);
  }
  if (scan.bad || scan.max == kMinusInf) {
    result.error = scan.bad ? "logit_bias or a penalty drove a logit out of the range of floats"
                            : "no token is left to choose from: the mask or logit_bias forbids all";
    return result;
  }
  result.token_id = choose(logits, scan.max, scan.max_from, position, scratch);
  if (p.num_logprobs >= 0) {
    float raw = logits[static_cast<size_t>(result.token_id)];
    for (auto it = scratch.raw.rbegin(); it != scratch.raw.rend(); ++it)  // the first touch holds the raw one
      if (it->first == result.token_id) raw = it->second;
    result.logprob = static_cast<float>(raw - log_z);
  }
  return result;
}

int32_t Sampler::choose(std::span<const float> logits, float max, size_t max_from, int64_t position,
                        SampleScratch& scratch) const {
  const SamplingParams& p = params_;
  if (p.temperature == 0 || p.top_k == 1)
    return static_cast<int32_t>(
        std::find(logits.begin() + static_cast<ptrdiff_t>(max_from), logits.end(), max) - logits.begin());

  double u = uniform01(p.seed, static_cast<uint64_t>(position));
  float inv_t = std::min(1 / p.temperature, std::numeric_limits<float>::max());
  bool has_top_k = p.top_k > 0 && static_cast<size_t>(p.top_k) < logits.size();
  std::vector<Candidate>& c = scratch.candidates;
  if (has_top_k) {
    auto k = static_cast<size_t>(p.top_k);
    k <= 512 ? top_k_of_row(logits, k, c) : select_k_of_row(logits, k, c);
    for (Candidate& i : c) i.weight = exp_nonpositive((i.value - max) * inv_t);
  } else {
    double mass = exp_row(logits, max, inv_t, scratch.weights);
    if (p.top_p >= 1 && p.min_p <= 0) return draw_from_row(scratch.weights, u * mass);
    // All tokens lighter than (1 - top_p) / n of the mass weigh less than 1 - top_p together, so none of them
    // is in the nucleus; half of that leaves room for rounding.
    double floor = p.top_p < 1
                       ? 0.5 * (1 - static_cast<double>(p.top_p)) * mass / static_cast<double>(logits.size())
                       : static_cast<double>(p.min_p);
    c.clear();
    for (size_t i = 0; i < logits.size(); ++i)
      if (scratch.weights[i] >= floor && scratch.weights[i] > 0)
        c.push_back({logits[i], static_cast<int32_t>(i), scratch.weights[i]});
    if (p.top_p < 1) {
      // The share is of the whole row's mass, of which the light tokens are part.
      c.resize(weighted_select(std::span(c), mass * static_cast<double>(p.top_p), better, mass_of));
    }
  }
  if (has_top_k && p.top_p < 1) keep_nucleus(c, p.top_p);
  if (p.min_p > 0) std::erase_if(c, [&](const Candidate& i) { return i.weight < p.min_p; });
  return draw(c, u);
}

}  // namespace turgo
