// Calibration text that the model writes itself: what it samples is spread as what it was trained on, needs
// no file and shares nothing with a test text (LLM-QAT, arXiv 2305.17888, calls it data-free). Each sample
// starts from a random word of the vocabulary and goes on at temperature 1.
#pragma once

#include <string>

#include "compress/calibration_text.h"

namespace turgo {

inline constexpr const char* kGeneratedDataset = "generated";

// num_samples samples of seqlen tokens; the same on every run and with any number of threads on one machine.
CalibrationSamples generate_calibration(const std::string& model, const CalibrationRequest& request,
                                        int32_t threads);

// That or read_calibration(), as request.dataset says.
CalibrationSamples calibration_of(const std::string& model, const CalibrationRequest& request,
                                  const Tokenizer& tokenizer, int32_t threads);

}  // namespace turgo
