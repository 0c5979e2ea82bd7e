#include "models/rope_params.h"

#include <cmath>
#include <cstring>

#include "core/error.h"

namespace turgo {
namespace {

// A base of 1 would make every wavelength the same and YaRN's logarithm zero.
constexpr double kMinTheta = 1.001, kMaxTheta = 1e15, kMaxFactor = 1e6;

RopeScaling scaling_type(const HyperParams& object, ParamName name, const std::string& type) {
  struct Known {
    const char* name;
    RopeScaling scaling;
  };
  constexpr Known kKnown[] = {{"default", RopeScaling::kNone},      {"none", RopeScaling::kNone},
                              {"linear", RopeScaling::kLinear},     {"dynamic", RopeScaling::kDynamicNtk},
                              {"yarn", RopeScaling::kYarn},         {"llama3", RopeScaling::kLlama3},
                              {"longrope", RopeScaling::kLongRope}, {"su", RopeScaling::kLongRope}};
  for (const Known& k : kKnown)
    if (type == k.name) return k.scaling;
  fail(ErrorCode::kUnsupported,
       "{}: rope scaling {} is not known; expected default, linear, dynamic, yarn, llama3 or longrope in {}",
       quote(object.file().path(), 200), quote(type), name.hf);
}

int32_t rotary_dim(const HyperParams& params, const HyperParams& object, const RopeDefaults& d) {
  ParamName partial{"partial_rotary_factor", nullptr};
  float share = object.find_float(partial, 0, 1).value_or(params.get_float(partial, 0, 1, 1));
  auto dim = params.get_int({nullptr, "rope.dimension_count"}, 1, kMaxHeadDim,
                            static_cast<int32_t>(static_cast<float>(d.head_dim) * share));
  if (dim % 2 || dim < 2 || dim > d.head_dim)
    fail(ErrorCode::kCorrupt, "{}: expected an even rotary dimension of 2 to head_dim {}, got {}",
         quote(params.file().path(), 200), d.head_dim, dim);
  return dim;
}

void read_scaling_numbers(const HyperParams& outer, const HyperParams& o, const RopeDefaults& d,
                          RopeConfig& rope) {
  ParamName original{"original_max_position_embeddings", nullptr};
  rope.original_max_position = o.find_int(original, 1, kMaxPosition)
                                   .value_or(outer.get_int(original, 1, kMaxPosition, d.max_position));
  auto factor = o.find_float({"factor", nullptr}, 1e-3, kMaxFactor);
  bool from_lengths = rope.scaling == RopeScaling::kYarn || rope.scaling == RopeScaling::kLongRope;
  if (!factor && !from_lengths) o.bad({"factor", nullptr}, "a number");
  rope.factor =
      factor.value_or(static_cast<float>(d.max_position) / static_cast<float>(rope.original_max_position));
  rope.low_freq_factor = o.get_float({"low_freq_factor", nullptr}, 1e-3, 1e3, 1);
  rope.high_freq_factor = o.get_float({"high_freq_factor", nullptr}, 1e-3, 1e3, 4);
  if (rope.scaling == RopeScaling::kLlama3 && rope.high_freq_factor <= rope.low_freq_factor)
    o.bad({"high_freq_factor", nullptr}, "more than low_freq_factor");
  rope.attention_factor = o.get_float({"attention_factor", nullptr}, 0, kMaxFactor, 0);
  rope.beta_fast = o.get_float({"beta_fast", nullptr}, 0, kMaxFactor, 32);
  rope.beta_slow = o.get_float({"beta_slow", nullptr}, 0, kMaxFactor, 1);
  if (rope.beta_fast == 0) rope.beta_fast = 32;  // 0 means the default, as in transformers
  if (rope.beta_slow == 0) rope.beta_slow = 1;
  rope.mscale = o.get_float({"mscale", nullptr}, 0, kMaxFactor, 0);
  rope.mscale_all_dim = o.get_float({"mscale_all_dim", nullptr}, 0, kMaxFactor, 0);
  rope.truncate = o.get_bool({"truncate", nullptr}, true);
  rope.short_factor = o.find_floats({"short_factor", nullptr}, 1e-6, kMaxFactor);
  rope.long_factor = o.find_floats({"long_factor", nullptr}, 1e-6, kMaxFactor);
  // dynamic NTK stretches what lies past the length that the model was made for
  if (rope.scaling == RopeScaling::kDynamicNtk) rope.original_max_position = d.max_position;
}

// What the formulas divide by.
void check_scaling(const HyperParams& o, const RopeConfig& rope) {
  bool logarithm = rope.scaling == RopeScaling::kYarn || rope.scaling == RopeScaling::kLongRope;
  if (logarithm && rope.original_max_position < 2)
    o.bad({"original_max_position_embeddings", "rope.scaling.original_context_length"}, "2 or more");
  if (rope.scaling == RopeScaling::kDynamicNtk && rope.rotary_dim < 4)
    fail(ErrorCode::kCorrupt, "{}: dynamic rope scaling: expected a rotary dimension of 4 or more, got {}",
         quote(o.file().path(), 200), rope.rotary_dim);
  auto pairs = static_cast<size_t>(rope.rotary_dim / 2);
  if (rope.scaling == RopeScaling::kLongRope &&
      (rope.short_factor.size() != pairs || rope.long_factor.size() != pairs))
    fail(ErrorCode::kCorrupt, "{}: expected {} numbers in short_factor and long_factor, got {} and {}",
         quote(o.file().path(), 200), pairs, rope.short_factor.size(), rope.long_factor.size());
}

// f32 [rotary_dim / 2]; empty if the file has no such tensor.
std::vector<float> factor_tensor(const ModelFile& file, const char* name, int32_t pairs) {
  const RawTensor* t = file.find(name);
  if (!t) return {};
  if (t->dtype != DType::kF32 || t->shape.numel() != pairs)
    fail(ErrorCode::kCorrupt, "{}: {}: expected f32 [{}], got {} {}", quote(file.path(), 200), name, pairs,
         dtype_info(t->dtype).name, t->shape.str());
  std::vector<float> out(static_cast<size_t>(pairs));
  std::memcpy(out.data(), t->bytes.data(), t->bytes.size());
  for (float f : out)
    if (!(f >= 1e-6f && f <= 1e6f))
      fail(ErrorCode::kCorrupt, "{}: {}: expected factors of 1e-6 to 1e6, got {}", quote(file.path(), 200),
           name, f);
  return out;
}

RopeConfig read_gguf_rope(const HyperParams& p, const RopeDefaults& d) {
  RopeConfig rope;
  rope.theta = p.get_float({nullptr, "rope.freq_base"}, kMinTheta, kMaxTheta, d.theta);
  rope.rotary_dim = rotary_dim(p, p, d);
  ParamName type{"rope.scaling.type", "rope.scaling.type"};
  rope.scaling = scaling_type(p, type, p.get_string(type, "none"));
  rope.original_max_position =
      p.get_int({nullptr, "rope.scaling.original_context_length"}, 1, kMaxPosition, d.max_position);
  rope.factor = p.get_float({nullptr, "rope.scaling.factor"}, 0, kMaxFactor, 0);
  ParamName old_linear{nullptr, "rope.scale_linear"};  // before 2024 there was only this
  if (!p.has(type) && p.has(old_linear)) {
    rope.scaling = RopeScaling::kLinear;
    rope.factor = p.get_float(old_linear, 0, kMaxFactor);
  }
  if (rope.factor == 0) rope.factor = 1;  // 0 is written for "none"
  // GGUF's attn_factor multiplies YaRN's own 0.1 ln(factor) + 1 and replaces LongRoPE's.
  rope.attention_factor = p.get_float({nullptr, "rope.scaling.attn_factor"}, 0, kMaxFactor, 0);
  if (rope.scaling == RopeScaling::kYarn && rope.factor > 1)
    rope.attention_factor *= 0.1f * std::log(rope.factor) + 1;
  rope.beta_fast = p.get_float({nullptr, "rope.scaling.yarn_beta_fast"}, 1e-3, kMaxFactor, 32);
  rope.beta_slow = p.get_float({nullptr, "rope.scaling.yarn_beta_slow"}, 1e-3, kMaxFactor, 1);
  const ModelFile& file = p.file();
  if (auto freqs = factor_tensor(file, "rope_freqs.weight", rope.rotary_dim / 2); !freqs.empty()) {
    rope.scaling = RopeScaling::kLongRope;
    rope.attention_factor = 1;
    rope.short_factor = rope.long_factor = std::move(freqs);
  } else if (rope.scaling == RopeScaling::kLongRope) {
    rope.short_factor = factor_tensor(file, "rope_factors_short.weight", rope.rotary_dim / 2);
    rope.long_factor = factor_tensor(file, "rope_factors_long.weight", rope.rotary_dim / 2);
  }
  check_scaling(p, rope);
  return rope;
}

}  // namespace

RopeConfig read_rope_object(const HyperParams& outer, const HyperParams& o, const RopeDefaults& d) {
  RopeConfig rope;
  ParamName theta{"rope_theta", nullptr};
  rope.theta = o.find_float(theta, kMinTheta, kMaxTheta)
                   .value_or(outer.get_float(theta, kMinTheta, kMaxTheta, d.theta));
  rope.rotary_dim = rotary_dim(outer, o, d);
  rope.original_max_position = d.max_position;
  ParamName type{o.has({"rope_type", nullptr}) ? "rope_type" : "type", nullptr};
  rope.scaling = scaling_type(o, type, o.get_string(type, "default"));
  if (rope.scaling != RopeScaling::kNone) read_scaling_numbers(outer, o, d, rope);
  check_scaling(o, rope);
  return rope;
}

RopeConfig read_rope(const HyperParams& p, const RopeDefaults& d) {
  if (p.gguf()) return read_gguf_rope(p, d);
  for (const char* key : {"rope_parameters", "rope_scaling"})
    if (auto object = p.child(key)) return read_rope_object(p, *object, d);
  RopeConfig rope;
  rope.theta = p.get_float({"rope_theta", nullptr}, kMinTheta, kMaxTheta, d.theta);
  rope.rotary_dim = rotary_dim(p, p, d);
  rope.original_max_position = d.max_position;
  return rope;
}

}  // namespace turgo
