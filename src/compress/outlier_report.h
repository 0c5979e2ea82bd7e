// What a model's activations and its KV cache look like on calibration text, without changing anything: which
// channels stand out where (they decide how well 8-bit activations and smoothing do), and what a smaller KV
// cache costs.
#pragma once

#include <string>

#include "compress/calibration_text.h"
#include "core/json.h"

namespace turgo {

struct OutlierJob {
  std::string model;
  std::string target;  // a folder for the results, made if need be; "" writes nothing
  CalibrationRequest calibration;
  bool force = false, allow_requantize = false;
  int32_t threads = 0;
};

// Per layer and linear input: the largest magnitude of each channel. Writes calibration.json and
// input_stats.safetensors ("model.layers.0.qkv.absmax", ".absmean", f32 [k]). The result is the JSON.
Json report_input_outliers(const OutlierJob& job);

// Perplexity and KL of the caches int8, K8V4 and int4 against bf16 on the text, and the smallest whose
// perplexity stays within `max_loss` (a share). Writes kv_cache.json.
Json report_kv_cache(const OutlierJob& job, double max_loss);

}  // namespace turgo
