// The flags of `turgo lite` commands that say what text a model is calibrated on.
#pragma once

#include "apps/command.h"
#include "compress/calibration_text.h"

namespace turgo {

inline void list_options(CalibrationRequest& request, OptionList& list, const char* by_default = "tales") {
  list.add("calib_dataset", &request.dataset,
           "text or .jsonl file; wikitext2, ptb, c4, pileval from the cache; tales (bundled); generated: "
           "the model writes it")
      .label("FILE")
      .shown_default(by_default);
  list.add("calib_samples", &request.num_samples, "samples").range(1, 1 << 20).label("N");
  list.add("calib_seqlen", &request.seqlen, "tokens of a sample").range(16, 1 << 20).label("N");
}

}  // namespace turgo
