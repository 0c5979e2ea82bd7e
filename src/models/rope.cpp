#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace turgo {
namespace {

std::vector<float> plain_frequencies(double theta, int32_t rotary_dim) {
  std::vector<float> inv(rotary_dim / 2);
  for (size_t i = 0; i < inv.size(); ++i) {
    float exponent = static_cast<float>(2 * i) / static_cast<float>(rotary_dim);
    inv[i] = 1.0f / static_cast<float>(std::pow(theta, static_cast<double>(exponent)));
  }
  return inv;
}

// Wavelengths beyond the original context are stretched, short ones stay, those between are blended.
void scale_llama3(const RopeConfig& c, std::vector<float>& inv) {
  auto context = static_cast<float>(c.original_max_position);
  float low_wavelength = context / c.low_freq_factor, high_wavelength = context / c.high_freq_factor;
  for (float& f : inv) {
    float wavelength = 2 * std::numbers::pi_v<float> / f;
    if (wavelength < high_wavelength) continue;
    if (wavelength > low_wavelength) {
      f /= c.factor;
      continue;
    }
    float smooth = (context / wavelength - c.low_freq_factor) / (c.high_freq_factor - c.low_freq_factor);
    f = (1 - smooth) * f / c.factor + smooth * f;
  }
}

float yarn_mscale(float factor, float m) {
  return factor <= 1 ? 1.0f : 0.1f * m * std::log(factor) + 1.0f;
}

// YaRN, arXiv:2309.00071: interpolate low frequencies, keep high ones, ramp between.
float scale_yarn(const RopeConfig& c, std::vector<float>& inv) {
  double dim = c.rotary_dim;
  auto correction_dim = [&](double rotations) {
    return dim * std::log(c.original_max_position / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(c.theta));
  };
  double low = correction_dim(c.beta_fast), high = correction_dim(c.beta_slow);
  if (c.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inv.size(); ++i) {
    auto ramp = static_cast<float>(std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0));
    float keep = 1 - ramp;
    inv[i] = inv[i] / c.factor * (1 - keep) + inv[i] * keep;
  }
  if (c.attention_factor > 0) return c.attention_factor;
  if (c.mscale > 0 && c.mscale_all_dim > 0)
    return yarn_mscale(c.factor, c.mscale) / yarn_mscale(c.factor, c.mscale_all_dim);
  return yarn_mscale(c.factor, 1);
}

// LongRoPE, arXiv:2402.13753: one factor per pair, another list beyond the original context.
float scale_longrope(const RopeConfig& c, int32_t session_len, std::vector<float>& inv) {
  const auto& factors = session_len > c.original_max_position ? c.long_factor : c.short_factor;
  CHECK_EQ(factors.size(), inv.size());
  for (size_t i = 0; i < inv.size(); ++i) inv[i] /= factors[i];
  if (c.attention_factor > 0) return c.attention_factor;
  if (c.factor <= 1) return 1;
  return std::sqrt(1 + std::log(c.factor) / std::log(static_cast<float>(c.original_max_position)));
}

// Dynamic NTK: the base grows so that session_len positions fit.
double dynamic_theta(const RopeConfig& c, int32_t session_len) {
  double length = std::max(session_len, c.original_max_position);
  double stretch = c.factor * length / c.original_max_position - (c.factor - 1);
  return c.theta * std::pow(stretch, c.rotary_dim / (c.rotary_dim - 2.0));
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& c, int32_t session_len) {
  RopeFrequencies out;
  bool dynamic = c.scaling == RopeScaling::kDynamicNtk;
  out.inv_freq = plain_frequencies(dynamic ? dynamic_theta(c, session_len) : c.theta, c.rotary_dim);
  switch (c.scaling) {
    case RopeScaling::kNone:
    case RopeScaling::kDynamicNtk:
      break;
    case RopeScaling::kLinear:
      for (float& f : out.inv_freq) f /= c.factor;
      break;
    case RopeScaling::kLlama3:
      scale_llama3(c, out.inv_freq);
      break;
    case RopeScaling::kYarn:
      out.attention_factor = scale_yarn(c, out.inv_freq);
      break;
    case RopeScaling::kLongRope:
      out.attention_factor = scale_longrope(c, session_len, out.inv_freq);
      break;
  }
  return out;
}

void fill_rope_table(const RopeFrequencies& frequencies, int32_t num_positions, float* cos_sin) {
  for (int32_t p = 0; p < num_positions; ++p)
    for (float inv : frequencies.inv_freq) {
      float angle = static_cast<float>(p) * inv;
      *cos_sin++ = std::cos(angle) * frequencies.attention_factor;
      *cos_sin++ = std::sin(angle) * frequencies.attention_factor;
    }
}

}  // namespace turgo
