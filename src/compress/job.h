// A whole compression from path to path: calibrate, solve layer by layer, write, load the result and measure
// it.
#pragma once

#include <string>

#include "compress/result_files.h"
#include "core/json.h"

namespace turgo {

struct CompressionJob {
  std::string model, target;
  Recipe recipe;
  ResultFormat format;
  CalibrationRequest calibration;
  bool force = false, dry_run = false, allow_requantize = false;
  bool self_check = true;
  double max_kl = 1;  // the self-check fails above it (mean, nats)
  int32_t threads = 0;
};

struct CompressionReport {
  Json json;  // everything below and per layer; also written as turgo_report.json into a folder
  bool passed = true;
};

// Prints what it does on stderr. Throws Error; nothing appears at `target` then, and a killed run goes on
// where it was when it is started again.
CompressionReport run_compression(CompressionJob job);

}  // namespace turgo
