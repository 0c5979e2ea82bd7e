// The text that a model is calibrated on: a local file, a data set's name looked up in the user's cache
// (nothing is ever downloaded), or the public-domain tales that are part of the program.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace turgo {

inline constexpr const char* kBundledDataset = "tales";

struct CalibrationRequest {
  std::string dataset;  // FILE (text, or .jsonl with "text"), a name, or "" as "tales"
  int32_t num_samples = 128, seqlen = 512;
};

struct CalibrationSamples {
  std::string source;  // what was read, for the report
  std::vector<std::vector<int32_t>> ids;
  int64_t num_tokens = 0;
  int32_t num_asked = 0;
  uint64_t hash = 0;  // of the ids: a resumed run must see the same
};

// Windows of seqlen tokens, evenly spread over the text; fewer than asked if the text is short (the last one
// may be shorter, at least 16 tokens). BOS stands in front where the model wants it. Throws Error{kNotFound,
// kInvalidArgument}: no such file or name, not UTF-8 text, or fewer than 16 tokens.
CalibrationSamples read_calibration(const CalibrationRequest& request, const Tokenizer& tokenizer);

// The text itself; for tests that keep calibration and evaluation apart.
std::string calibration_text(const std::string& dataset, std::string* source);

}  // namespace turgo
