// What `turgo bench` prints: speeds, and their shares of the two limits of the machine.
//   compute-bound  the multiply-adds at the measured peak take longer than the bytes at the measured
//   bandwidth memory-bound   the other way round
#pragma once

#include <memory>
#include <vector>

#include "apps/machine_limits.h"
#include "ops/profile.h"
#include "pipeline/pipeline.h"

namespace turgo {

struct BatchResult {
  int32_t batch = 1;
  std::vector<double> decode;  // tokens per second of the whole batch, per run
};

struct BenchReport {
  ModelInfo info;
  MachineLimits limits;
  int threads = 0;
  int32_t prompt_tokens = 0, gen_tokens = 0, context = 0, repeat = 0;
  int64_t peak_bytes = 0;       // resident, without the buffer of the bandwidth measurement
  std::vector<double> prefill;  // tokens per second, per run
  std::vector<BatchResult> batches;
  std::shared_ptr<const StepProfile> profile;  // or null
};

void print_text(const BenchReport& report);
void print_json(const BenchReport& report);

}  // namespace turgo
